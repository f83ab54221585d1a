//! What the agent's sources say of errors: where they are made, and what is bound and called around there.

use super::super::Tree;
use std::collections::{BTreeMap, BTreeSet};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprMethodCall, Pat};

const SOURCES: &str = "infernosim-agent/src/";

/// A file, parsed.
pub struct Source {
    path: String,
    syntax: syn::File,
}

/// The agent's files, without those of tests.
pub fn parse(tree: &Tree) -> Vec<Source> {
    let of_tests = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    tree.texts(".rs")
        .filter(|(path, _)| path.starts_with(SOURCES) && !of_tests(path))
        .filter_map(|(path, text)| {
            Some(Source { path: path.to_owned(), syntax: syn::parse_file(text).ok()? })
        })
        .collect()
}

/// A place where an error is made.
pub struct Site<'a> {
    /// The file, from the root of the tree.
    pub path: &'a str,
    /// From 1.
    pub line: usize,
    /// The argument that says with which status it ends.
    pub exit: &'a Expr,
    /// The argument that says what happened.
    pub message: &'a Expr,
    /// The arguments of `.help(…)`, if it has any.
    pub help: Vec<&'a Expr>,
    /// Where names in these are looked up.
    pub place: Place,
}

/// A place in a function, or in a closure in it.
#[derive(Clone, Debug)]
pub struct Place {
    room: String,
    file: usize,
    function: usize,
    /// What can be called by name around here, the innermost last.
    callables: Vec<Callable>,
    /// Line and column: what is bound behind it is not meant.
    at: (usize, usize),
    /// Which of the innermost callable's calls has come here, if it is to be that one.
    call: Option<usize>,
}

#[derive(Clone, Debug)]
struct Callable {
    name: String,
    /// Called as `value.name()`.
    is_method: bool,
    parameters: Vec<String>,
    callers: Callers,
}

/// Who can call something by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Callers {
    /// The files of one room: names of functions are not told apart by their paths, and elsewhere the same name
    /// mostly is another function.
    Room(String),
    /// What stands in this file: it is private.
    File(usize),
    /// What stands in this function: it is a closure there.
    Function(usize),
}

struct Call<'a> {
    /// As `value.name()`.
    as_method: bool,
    arguments: Vec<&'a Expr>,
    place: Place,
}

/// A name that is bound to an expression, or to one part of a tuple.
struct Binding<'a> {
    name: String,
    part: Option<usize>,
    value: &'a Expr,
    at: (usize, usize),
}

/// What a name stands for.
pub enum Meaning<'a> {
    /// This expression, or this part of the tuple that it is.
    Value(&'a Expr, Option<usize>),
    /// What callers give, each with the place where it does.
    Arguments(Vec<(&'a Expr, Place)>),
    /// Something that the text does not tell.
    Unknown,
}

/// Everything found.
#[derive(Default)]
pub struct Findings<'a> {
    /// Where errors are made.
    pub sites: Vec<Site<'a>>,
    bindings: BTreeMap<usize, Vec<Binding<'a>>>,
    /// By name.
    calls: BTreeMap<String, Vec<Call<'a>>>,
    /// The names that closures are bound to, in each function.
    closures: BTreeSet<(usize, String)>,
    /// The names of functions that are private to each file.
    private: BTreeSet<(usize, String)>,
}

impl<'a> Findings<'a> {
    /// Reads all files.
    pub fn of(sources: &'a [Source]) -> Self {
        let mut reader = Reader::default();
        for source in sources {
            reader.path = &source.path;
            reader.files += 1;
            reader.visit_file(&source.syntax);
        }
        reader.findings
    }

    /// What `name` stands for at a place.
    pub fn meaning(&self, name: &str, place: &Place) -> Meaning<'a> {
        let bound = self.bindings.get(&place.function).map_or(&[][..], Vec::as_slice).iter();
        if let Some(binding) = bound.rev().find(|it| it.name == name && it.at < place.at) {
            return Meaning::Value(binding.value, binding.part);
        }
        for (at, callable) in place.callables.iter().enumerate().rev() {
            let Some(index) = callable.parameters.iter().position(|parameter| parameter == name) else {
                continue;
            };
            let is_innermost = at + 1 == place.callables.len();
            let call = place.call.filter(|_| is_innermost);
            let calls =
                self.calls_of(callable).enumerate().filter(|(at, _)| call.is_none_or(|call| *at == call));
            let given =
                calls.filter_map(|(_, (arguments, place))| Some((*arguments.get(index)?, place.clone())));
            return Meaning::Arguments(given.collect());
        }
        Meaning::Unknown
    }

    /// A place once for each call that can have come there: what one call gives belongs together.
    pub fn each_call(&self, place: &Place) -> Vec<Place> {
        let calls = place.callables.last().map_or(0, |innermost| self.calls_of(innermost).count());
        if calls == 0 {
            return vec![place.clone()];
        }
        (0..calls).map(|call| Place { call: Some(call), ..place.clone() }).collect()
    }

    /// The calls that mean `callable` by its name.
    fn calls_of(&self, callable: &Callable) -> impl Iterator<Item = (&Vec<&'a Expr>, &Place)> {
        let calls = self.calls.get(&callable.name).into_iter().flatten();
        calls.filter_map(|Call { as_method, arguments, place }| {
            let is_closure = self.closures.contains(&(place.function, callable.name.clone()));
            let means_it = match &callable.callers {
                Callers::Room(room) => {
                    let means_another = self.private.contains(&(place.file, callable.name.clone()));
                    !is_closure && !means_another && place.room == *room
                }
                Callers::File(file) => !is_closure && place.file == *file,
                Callers::Function(function) => is_closure && place.function == *function,
            };
            let fits = arguments.len() == callable.parameters.len() && *as_method == callable.is_method;
            (means_it && fits).then_some((arguments, place))
        })
    }
}

#[derive(Default)]
struct Reader<'a> {
    findings: Findings<'a>,
    path: &'a str,
    files: usize,
    functions: usize,
    callables: Vec<Callable>,
    /// The name that the closure which comes next is bound to.
    bound_to: Option<String>,
    /// The help of the error that is made at this place.
    helps: BTreeMap<(usize, usize), Vec<&'a Expr>>,
}

impl<'a> Reader<'a> {
    fn place(&self, node: &impl Spanned) -> Place {
        Place {
            room: room_of(self.path),
            call: None,
            file: self.files,
            function: self.functions,
            callables: self.callables.clone(),
            at: position(node),
        }
    }

    fn function(
        &mut self,
        seen: &syn::Visibility,
        signature: &syn::Signature,
        inside: impl FnOnce(&mut Self),
    ) {
        let named = |input: &syn::FnArg| match input {
            syn::FnArg::Typed(typed) => Some(names(&typed.pat).into_iter().next().unwrap_or_default()),
            // Calls by method name do not give it either.
            syn::FnArg::Receiver(_) => None,
        };
        let parameters = signature.inputs.iter().filter_map(named).collect();
        self.functions += 1;
        let is_private = matches!(seen, syn::Visibility::Inherited);
        let callers = if is_private { Callers::File(self.files) } else { Callers::Room(room_of(self.path)) };
        if is_private {
            self.findings.private.insert((self.files, signature.ident.to_string()));
        }
        let is_method = signature.receiver().is_some();
        self.callables.push(Callable { name: signature.ident.to_string(), is_method, parameters, callers });
        inside(self);
        self.callables.pop();
    }

    fn bind(&mut self, pattern: &Pat, value: &'a Expr) {
        let parts: Vec<(String, Option<usize>)> = match pattern {
            Pat::Tuple(tuple) => tuple
                .elems
                .iter()
                .enumerate()
                .filter_map(|(at, part)| Some((names(part).into_iter().next()?, Some(at))))
                .collect(),
            other => names(other).into_iter().map(|name| (name, None)).collect(),
        };
        for (name, part) in parts {
            let binding = Binding { name, part, value, at: position(pattern) };
            self.findings.bindings.entry(self.functions).or_default().push(binding);
        }
    }

    /// The call that makes the error which `.help()` is said to, directly or by the name it is bound to.
    fn made(&self, receiver: &'a Expr) -> Option<&'a ExprCall> {
        match receiver {
            Expr::Call(call) if makes_error(call) => Some(call),
            Expr::Paren(inner) => self.made(&inner.expr),
            Expr::Path(_) => {
                let name = last_word(receiver)?;
                match self.findings.meaning(&name, &self.place(receiver)) {
                    Meaning::Value(value @ Expr::Call(_), None) => self.made(value),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl<'a> Visit<'a> for Reader<'a> {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        let of_tests = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
        };
        if !module.attrs.iter().any(of_tests) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.function(&function.vis, &function.sig, |reader| visit::visit_item_fn(reader, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.function(&function.vis, &function.sig, |reader| visit::visit_impl_item_fn(reader, function));
    }

    fn visit_local(&mut self, local: &'a syn::Local) {
        if let Some(init) = &local.init {
            let pattern = if let Pat::Type(typed) = &local.pat { &*typed.pat } else { &local.pat };
            if matches!(*init.expr, Expr::Closure(_)) {
                self.bound_to = names(pattern).into_iter().next();
            } else {
                self.bind(pattern, &init.expr);
            }
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_closure(&mut self, closure: &'a syn::ExprClosure) {
        let parameters =
            closure.inputs.iter().map(|input| names(input).into_iter().next().unwrap_or_default());
        let name = self.bound_to.take().unwrap_or_default();
        self.findings.closures.insert((self.functions, name.clone()));
        let callers = Callers::Function(self.functions);
        self.callables.push(Callable { name, is_method: false, parameters: parameters.collect(), callers });
        visit::visit_expr_closure(self, closure);
        self.callables.pop();
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if call.method == "help"
            && let (Some(made), Some(help)) = (self.made(&call.receiver), call.args.first())
        {
            let at = position(made);
            let known = self.findings.sites.iter_mut().find(|site| is_of(site, made));
            match known {
                Some(site) => site.help.push(help),
                None => self.helps.entry(at).or_default().push(help),
            }
        }
        let place = self.place(call);
        let arguments = call.args.iter().collect();
        self.findings.calls.entry(call.method.to_string()).or_default().push(Call {
            as_method: true,
            arguments,
            place,
        });
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        if makes_error(call)
            && let [exit, message] = call.args.iter().collect::<Vec<_>>()[..]
        {
            let help = self.helps.remove(&position(call)).unwrap_or_default();
            let place = self.place(call);
            let site = Site { path: self.path, line: position(call).0, exit, message, help, place };
            self.findings.sites.push(site);
        } else if let Some(name) = last_word(&call.func) {
            let place = self.place(call);
            let arguments = call.args.iter().collect();
            self.findings.calls.entry(name).or_default().push(Call { as_method: false, arguments, place });
        }
        visit::visit_expr_call(self, call);
    }
}

fn room_of(path: &str) -> String {
    let path = path.strip_prefix(SOURCES).unwrap_or(path);
    path.split(['/', '.']).next().unwrap_or_default().to_owned()
}

/// Whether a site is this call's: both are nodes of one parsed file.
fn is_of(site: &Site, call: &ExprCall) -> bool {
    call.args.first().is_some_and(|exit| std::ptr::eq(exit, site.exit))
}

fn makes_error(call: &ExprCall) -> bool {
    let Expr::Path(path) = &*call.func else { return false };
    let words: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    words.ends_with(&["ExpectedError".to_owned(), "new".to_owned()])
}

/// The last word of a path, `c` of `a::b::c`.
pub fn last_word(expression: &Expr) -> Option<String> {
    let Expr::Path(path) = expression else { return None };
    Some(path.path.segments.last()?.ident.to_string())
}

/// The names that a pattern binds.
fn names(pattern: &Pat) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'a> Visit<'a> for Names {
        fn visit_pat_ident(&mut self, name: &'a syn::PatIdent) {
            self.0.push(name.ident.to_string());
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pattern);
    names.0
}

fn position(node: &impl Spanned) -> (usize, usize) {
    let start = node.span().start();
    (start.line, start.column)
}
