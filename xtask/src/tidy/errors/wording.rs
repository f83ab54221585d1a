//! The texts that an expression can come to, with `…` for what only a run can tell.

use std::collections::BTreeSet;

use super::sources::{Findings, Meaning, Place, last_word};
use syn::punctuated::Punctuated;
use syn::{Expr, Lit, Token};

/// What stands for a part that is not known.
pub const UNKNOWN: &str = "…";
/// Of an expression that can come to more texts than this, none is told.
const MOST_TEXTS: usize = 12;
/// Names that lead to names are followed so far.
const DEEPEST: usize = 6;

/// The texts of an expression at a place.
pub fn texts(findings: &Findings, expression: &Expr, place: &Place) -> Vec<String> {
    let wording = Wording { findings, deep: 0 };
    let mut texts: Vec<String> =
        wording.of(expression, None, place).iter().map(|text| tidied(text)).collect();
    texts.sort();
    texts.dedup();
    texts
}

#[derive(Clone, Copy)]
struct Wording<'a> {
    findings: &'a Findings<'a>,
    deep: usize,
}

impl Wording<'_> {
    fn of(self, expression: &Expr, part: Option<usize>, place: &Place) -> Vec<String> {
        let unknown = || vec![UNKNOWN.to_owned()];
        let found = match expression {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => vec![text.value()],
                _ => unknown(),
            },
            Expr::Macro(call)
                if call.mac.path.is_ident("format") || call.mac.path.is_ident("format_args") =>
            {
                self.formatted(&call.mac, place)
            }
            Expr::Tuple(tuple) => match part.and_then(|part| tuple.elems.iter().nth(part)) {
                Some(element) => self.of(element, None, place),
                None => unknown(),
            },
            Expr::Match(choice) => {
                choice.arms.iter().flat_map(|arm| self.of(&arm.body, part, place)).collect()
            }
            Expr::If(choice) => {
                let mut both = self.of_block(&choice.then_branch, part, place);
                if let Some((_, otherwise)) = &choice.else_branch {
                    both.extend(self.of(otherwise, part, place));
                }
                both
            }
            Expr::Block(block) => self.of_block(&block.block, part, place),
            Expr::Paren(inner) => self.of(&inner.expr, part, place),
            Expr::Reference(inner) => self.of(&inner.expr, part, place),
            Expr::MethodCall(call) if KEEP_THE_TEXT.contains(&call.method.to_string().as_str()) => {
                self.of(&call.receiver, part, place)
            }
            Expr::Call(call) if keeps_the_text(&call.func) && call.args.len() == 1 => {
                self.of(&call.args[0], part, place)
            }
            Expr::Binary(sum) if matches!(sum.op, syn::BinOp::Add(_)) => {
                joined(&[self.of(&sum.left, None, place), self.of(&sum.right, None, place)])
            }
            Expr::Path(_) => {
                last_word(expression).map_or_else(unknown, |name| self.named(&name, part, place))
            }
            // An arm that leaves by another way gives no text.
            Expr::Return(_) | Expr::Continue(_) => Vec::new(),
            _ => unknown(),
        };
        let found: Vec<String> = found.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        if found.len() > MOST_TEXTS { unknown() } else { found }
    }

    fn of_block(self, block: &syn::Block, part: Option<usize>, place: &Place) -> Vec<String> {
        match block.stmts.last() {
            Some(syn::Stmt::Expr(last, None)) => self.of(last, part, place),
            _ => vec![UNKNOWN.to_owned()],
        }
    }

    fn named(self, name: &str, part: Option<usize>, place: &Place) -> Vec<String> {
        let unknown = vec![UNKNOWN.to_owned()];
        if self.deep >= DEEPEST {
            return unknown;
        }
        let deeper = Self { deep: self.deep + 1, ..self };
        match self.findings.meaning(name, place) {
            Meaning::Value(value, own) => deeper.of(value, own.or(part), place),
            Meaning::Arguments(given) if !given.is_empty() => {
                given.iter().flat_map(|(argument, place)| deeper.of(argument, part, place)).collect()
            }
            _ => unknown,
        }
    }

    /// `format!("…", …)`: each placeholder is what its argument can come to.
    fn formatted(self, call: &syn::Macro, place: &Place) -> Vec<String> {
        let Ok(arguments) = call.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated) else {
            return vec![UNKNOWN.to_owned()];
        };
        let mut arguments = arguments.iter();
        let Some(template) = arguments.next().map(|template| self.of(template, None, place)) else {
            return vec![UNKNOWN.to_owned()];
        };
        let parts: Vec<Vec<String>> = split(&template.concat())
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => vec![text],
                Piece::Placeholder(name) if name.is_empty() => {
                    arguments.next().map_or_else(Vec::new, |argument| self.of(argument, None, place))
                }
                Piece::Placeholder(name) => self.named(&name, None, place),
            })
            .collect();
        joined(&parts)
    }
}

/// What changes how a text is held, not what it says.
const KEEP_THE_TEXT: [&str; 6] = ["to_owned", "to_string", "into", "clone", "as_str", "trim_end"];

/// `String::from`, and what makes characters visible that would steer a terminal.
fn keeps_the_text(function: &Expr) -> bool {
    last_word(function).is_some_and(|name| ["from", "escape"].contains(&name.as_str()))
}

enum Piece {
    Text(String),
    /// The name between the braces, if there is one.
    Placeholder(String),
}

/// A format string's pieces.
fn split(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.peek() == Some(&c) => {
                text.push(c);
                rest.next();
            }
            '{' => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                let inside: String = rest.by_ref().take_while(|c| *c != '}').collect();
                let name = inside.split(':').next().unwrap_or_default();
                pieces.push(Piece::Placeholder(name.to_owned()));
            }
            c => text.push(c),
        }
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// Each way of putting one text of each part together, or, where there are too many, with the unknown in place of
/// those parts that have several.
fn joined(parts: &[Vec<String>]) -> Vec<String> {
    let ways: usize = parts.iter().map(|part| part.len().max(1)).product();
    let mut found = vec![String::new()];
    for part in parts {
        let one = match part.len() {
            0 => vec![UNKNOWN.to_owned()],
            1 => part.clone(),
            _ if ways > MOST_TEXTS => vec![UNKNOWN.to_owned()],
            _ => part.clone(),
        };
        found = found.iter().flat_map(|begun| one.iter().map(move |next| format!("{begun}{next}"))).collect();
    }
    found
}

/// One line, and one sign for what is not known.
fn tidied(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    while text.contains("……") {
        text = text.replace("……", UNKNOWN);
    }
    text
}

/// Whether a text is one of those that a pattern with `…` in it stands for.
pub fn covers(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split(UNKNOWN);
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}
