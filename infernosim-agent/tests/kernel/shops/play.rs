use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{INFERNOSIM, Output, PYTHON, program};

/// The shops, one for each language.
pub const SHOPS: [&str; 4] = ["shop-python", "shop-node", "shop-go", "shop-rust"];

/// What an example was built to: it lies beside the binary under test.
fn built(name: &str) -> String {
    let path = Path::new(INFERNOSIM).with_file_name(name);
    let how = "`cargo xtask test` builds it, as does `cargo xtask demo --dev --example shop-go`";
    assert!(path.exists(), "{} is missing: {how}", path.display());
    path.to_str().unwrap().to_owned()
}

fn source(path: &str) -> String {
    let examples: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples");
    examples.join(path).to_str().unwrap().to_owned()
}

/// The command line of a shop on any free port, told by env(1) what else it should know.
pub fn command(shop: &str, variables: &[String]) -> Vec<String> {
    let words = match shop {
        "shop-python" => vec![PYTHON.to_owned(), source("shop-python/shop.py")],
        "shop-node" => {
            vec![program("/usr/bin/node").to_str().unwrap().to_owned(), source("shop-node/shop.js")]
        }
        other => vec![built(other)],
    };
    let env = ["env".to_owned(), "PORT=0".to_owned()].into_iter();
    env.chain(variables.iter().cloned()).chain(words).collect()
}

/// A program that says where it listens; killed when dropped.
pub struct Listening {
    pub child: Child,
    output: Output,
}

impl Listening {
    pub fn start(words: &[String]) -> Self {
        let mut command = Command::new(program(&words[0]));
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Output::of(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Where it says that this part of it listens.
    pub fn url(&self, name: &str) -> String {
        url(&self.output.line(&format!("{name}: listening on ")))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last word of a line.
pub fn url(line: &str) -> String {
    line.trim_end().rsplit(' ').next().unwrap().to_owned()
}

/// What a shop calls, each at a port of its own.
pub struct Dependencies {
    _process: Listening,
    /// Name and url.
    pub urls: Vec<(&'static str, String)>,
}

impl Dependencies {
    pub fn start() -> Self {
        let words = [built("shop-dependencies"), "all".into(), "--listen".into(), "127.0.0.1:0".into()];
        let process = Listening::start(&words);
        let urls = ["inventory", "payments", "courier"].map(|name| (name, process.url(name)));
        Self { _process: process, urls: urls.into() }
    }

    /// As env(1) takes them.
    pub fn variables(&self) -> Vec<String> {
        self.urls.iter().map(|(name, url)| format!("{}_URL={url}", name.to_uppercase())).collect()
    }
}

/// Lets the customer in, and gives what he was told: status and JSON, in the order in which he asked.
pub fn customer(shop: &str) -> Vec<(u64, Value)> {
    let mut command = Command::new(built("shop-dependencies"));
    let output = command.args(["customer", "--shop", shop]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let told = |line: &str| {
        let (_, told) = line.split_once(": ")?;
        let (status, body) = told.split_once(' ')?;
        Some((status.parse().ok()?, serde_json::from_str(body).ok()?))
    };
    said.lines().map(|line| told(line).unwrap_or_else(|| panic!("the customer says {line}"))).collect()
}
