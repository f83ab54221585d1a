//! `cargo xtask setup [tests|ebpf]`: installs from packages what is missing, and nothing that is there.

mod apt;
mod kernel_half;
mod third_party;

use crate::{command, misuse};
use anyhow::{Context, Result, bail};
use std::process::ExitCode;

pub use kernel_half::{Ready, setup as kernel_half};

/// A program that tests or benchmarks run, and the package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
}

/// Programs are looked for where root finds them too: tests run them as root. A python3 of pyenv's is none of
/// them, nor is a node of nvm's. A library is known by a file of its own.
const PROGRAMS: &[Program] = &[
    Program { name: "git", package: "git" }, // tidy lists the tree with it
    Program { name: "ip", package: "iproute2" }, // network namespaces
    Program { name: "mkfs.ext4", package: "e2fsprogs" }, // a disk that fails
    Program { name: "sudo", package: "sudo" },
    Program { name: "curl", package: "curl" }, // clients to capture, each with its own way of connecting
    Program { name: "wget", package: "wget" },
    Program { name: "python3", package: "python3" },
    Program { name: "node", package: "nodejs" },
    Program { name: "go", package: "golang-go" }, // examples
    Program { name: "npm", package: "npm" },      // brings services that nobody here wrote
    Program { name: "/usr/lib/python3/dist-packages/pip/__init__.py", package: "python3-pip" },
    Program { name: "/usr/lib/python3/dist-packages/flask/__init__.py", package: "python3-flask" },
    Program { name: "/usr/lib/python3/dist-packages/requests/__init__.py", package: "python3-requests" },
    Program { name: "openssl", package: "openssl" },
    Program { name: "redis-server", package: "redis-server" },
    Program { name: "nginx", package: "nginx-light" }, // servers, of the benchmarks too
    Program { name: "haproxy", package: "haproxy" },
    Program { name: "gunicorn", package: "gunicorn" },
    Program { name: "/usr/lib/python3/dist-packages/websockets/__init__.py", package: "python3-websockets" },
    Program { name: "wrk", package: "wrk" },            // load
    Program { name: "ab", package: "apache2-utils" },   // a client of HTTP/1.0
    Program { name: "dig", package: "bind9-dnsutils" }, // names, looked up and answered
    Program { name: "dnsmasq", package: "dnsmasq-base" },
    Program { name: "nscd", package: "nscd" },
    Program { name: "nft", package: "nftables" }, // a resolver behind netfilter
    Program { name: "zsh", package: "zsh" },      // shells that take our completions
    Program { name: "fish", package: "fish" },
    Program { name: "man", package: "man-db" }, // manual pages, and what finds mistakes in them
    Program { name: "mandoc", package: "mandoc" },
    Program { name: "xmllint", package: "libxml2-utils" }, // reports, as others read and see them
    Program { name: "chromium", package: "chromium" },
    Program { name: "/usr/share/nodejs/har-validator/package.json", package: "node-har-validator" },
    Program { name: "/usr/lib/python3/dist-packages/jsonschema/__init__.py", package: "python3-jsonschema" },
];

/// The newest cargo-nextest known to build with Rust 1.91 and later.
const NEXTEST_VERSION: &str = "0.9.143";

/// Installs both halves, or the one named.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments {
        [] => {
            tests()?;
            ebpf()?;
        }
        [half] if half == "tests" => tests()?,
        [half] if half == "ebpf" => ebpf()?,
        _ => return misuse("setup"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The tool chain of the kernel half; that it is not to be had is an error here.
fn ebpf() -> Result<()> {
    match kernel_half()? {
        Ready::Yes => Ok(()),
        Ready::Gone(packages) => {
            bail!("this system's package sources do not have {packages}: docs/toolchain.md says what to do")
        }
    }
}

/// What tests and benchmarks run.
///
/// # Errors
/// Names what is still missing after the attempt; each program that could be installed then is.
pub fn tests() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|program| command::find(program.name).is_none())
        .map(|program| program.package)
        .collect();
    if missing.is_empty() {
        println!("setup: the programs that tests run are here");
    } else {
        println!("setup: missing {}", missing.join(", "));
        let by_hand = || format!("install these by hand: {}", missing.join(", "));
        apt::update().with_context(by_hand)?;
        let failed = apt::install(&missing).with_context(by_hand)?;
        if !failed.is_empty() {
            bail!("these packages cannot be installed, install them by hand: {}", failed.join(", "));
        }
    }
    third_party::install()?;
    nextest()
}

/// cargo-nextest, built from its sources unless some version is here.
fn nextest() -> Result<()> {
    if command::find_tool("cargo-nextest").is_some() {
        println!("setup: cargo-nextest is here");
        return Ok(());
    }
    println!("setup: building cargo-nextest {NEXTEST_VERSION}, which takes minutes");
    let mut install = command::cargo();
    install.args(["install", "--locked", "cargo-nextest", "--version", NEXTEST_VERSION]);
    // Its self-updater would bring a TLS library along.
    install.args(["--no-default-features", "--features", "default-no-update"]);
    command::run(install.env_remove("CARGO_TARGET_DIR"))
}
