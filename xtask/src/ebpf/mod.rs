//! `cargo xtask ebpf build|verify`: the kernel half's committed object and the sources it is made of.
//!
//! The same sources and the same tool chain give the same bytes, whatever the checkout's directory and
//! `CARGO_HOME` are. So the object can be committed, users need stable Rust only, and anybody can check that the
//! object is what the sources say. `docs/toolchain.md` tells the story.

mod toolchain;

pub use toolchain::{
    LINKER_VERSION, LLVM, PACKAGES, Toolchain, installed_version, library, library_of_linker, wanted_version,
};

use crate::{misuse, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "bpfel-unknown-none";

/// How the committed object stands to the sources.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Byte for byte what the sources build to.
    Same,
    /// The tool chain is the one that made the object, and the sources build to something else.
    Differs,
    /// Another tool chain made other bytes, which says nothing. The fresh object is in this file.
    OtherToolchain(PathBuf),
    /// There is no tool chain here; what is missing.
    NoToolchain(String),
}

/// Exit status: 0 built, or the same; 1 the object differs; 3 another tool chain, or none.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    match arguments {
        [verb] if verb == "build" => build().map(|()| ExitCode::SUCCESS),
        [verb] if verb == "verify" => Ok(match verify()? {
            Verdict::Same => ExitCode::SUCCESS,
            Verdict::Differs => ExitCode::FAILURE,
            Verdict::OtherToolchain(_) | Verdict::NoToolchain(_) => ExitCode::from(3),
        }),
        _ => misuse("ebpf"),
    }
}

/// The committed object.
pub fn committed_object() -> PathBuf {
    workspace::root().join("infernosim-agent/bpf/infernosim.x86_64.bpf.o")
}

/// The committed text that names the tool chain which made the object.
pub fn committed_text() -> PathBuf {
    committed_object().with_extension("txt")
}

/// Rebuilds the object and its text in place.
fn build() -> Result<()> {
    let tools = Toolchain::find().map_err(anyhow::Error::msg)?;
    let fresh = compile(&tools, Lock::MayChange)?;
    let (object, text) = (committed_object(), committed_text());
    let directory = object.parent().context("the object has a directory")?;
    fs::create_dir_all(directory)?;
    let before = fs::read(&object).ok();
    let after = fs::read(&fresh)?;
    fs::write(&object, &after)?;
    let tools = tools.describe()?;
    fs::write(&text, &tools)?;
    let change =
        if before.as_ref() == Some(&after) { "unchanged" } else { "changed: commit it with its .txt" };
    print!("{} ({} bytes, {change}), made by\n{tools}", workspace::relative(&object).display(), after.len());
    Ok(())
}

/// Builds the object anew under the target directory and compares it with the committed one.
///
/// # Errors
/// When the committed object or its text is missing, or the sources do not build.
pub fn verify() -> Result<Verdict> {
    let committed = fs::read(committed_object())
        .with_context(|| format!("no {}: run cargo xtask ebpf build", committed_object().display()))?;
    let tools = match Toolchain::find() {
        Ok(tools) => tools,
        Err(missing) => {
            println!("the kernel half's object was not verified: {missing}");
            return Ok(Verdict::NoToolchain(missing));
        }
    };
    let fresh = compile(&tools, Lock::MustHold)?;
    let here = tools.describe()?;
    let there = fs::read_to_string(committed_text())
        .with_context(|| format!("no {}: run cargo xtask ebpf build", committed_text().display()))?;
    let verdict = compare((&committed, &there), (&fs::read(&fresh)?, &here), fresh);
    let object = workspace::relative(&committed_object()).display().to_string();
    match &verdict {
        Verdict::Same => {
            println!("{object} is byte for byte what the sources build to ({} bytes)", committed.len())
        }
        Verdict::Differs => println!(
            "{object} is not what the sources build to: run `cargo xtask ebpf build` and commit the object and its .txt"
        ),
        Verdict::OtherToolchain(fresh) => println!(
            "{object} was made by another tool chain, so nothing can be said about its bytes:\n\
             --- made by\n{there}--- here\n{here}The object that this tool chain makes is in {}.",
            workspace::relative(fresh).display()
        ),
        Verdict::NoToolchain(_) => {}
    }
    Ok(verdict)
}

/// Equal bytes are equal whoever made them; unequal bytes accuse the sources only if the makers are the same.
fn compare(committed: (&[u8], &str), fresh: (&[u8], &str), path: PathBuf) -> Verdict {
    if committed.0 == fresh.0 {
        Verdict::Same
    } else if committed.1 == fresh.1 {
        Verdict::Differs
    } else {
        Verdict::OtherToolchain(path)
    }
}

/// Whether the kernel half's Cargo.lock, which pins the object's bytes, may be brought up to date.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    MayChange,
    MustHold,
}

/// Compiles the kernel half and strips what only debuggers read; gives the object's path.
fn compile(tools: &Toolchain, lock: Lock) -> Result<PathBuf> {
    let target = workspace::target_dir()?.join("ebpf");
    let locked: &[&str] = if lock == Lock::MustHold { &["--locked"] } else { &[] };
    // Unpacks every dependency, so that remapping sees each registry's directory, on a fresh CARGO_HOME too.
    step(tools.cargo().arg("fetch").args(locked))?;
    step(
        tools
            .cargo()
            .args(["build", "--release", "--bins", "--target", TARGET, "-Zbuild-std=core", "--target-dir"])
            .arg(&target)
            .args(locked)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(tools)?.join("\x1f")),
    )?;
    let linked = target.join(TARGET).join("release/infernosim");
    let object = target.join("infernosim.x86_64.bpf.o");
    // DWARF goes. BTF and BTF.ext stay: the loader and the verifier's messages need them.
    step(Command::new(&tools.objcopy).arg("--strip-debug").arg(&linked).arg(&object))?;
    check_names(&fs::read(&object)?)?;
    Ok(object)
}

/// Runs a step of the build.
fn step(step: &mut Command) -> Result<()> {
    // The flags hold control characters and half a page of paths: they are left out of what is shown.
    let words = std::iter::once(step.get_program()).chain(step.get_args()).map(|word| word.to_string_lossy());
    println!("$ {}", words.collect::<Vec<_>>().join(" "));
    let status =
        step.status().with_context(|| format!("cannot run {}", step.get_program().to_string_lossy()))?;
    if !status.success() {
        bail!("the kernel half does not build ({status})");
    }
    Ok(())
}

/// The compiler's flags. Every directory of this machine is given a fixed name: paths stand in BTF's line records.
fn flags(tools: &Toolchain) -> Result<Vec<String>> {
    let mut flags = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", tools.linker.display()),
        "-Clink-arg=--btf".to_owned(),
    ];
    let mut remap = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    remap(&workspace::root(), "/infernosim");
    let library = tools.std_sources()?;
    remap(&library, "/rust");
    remap(&library.canonicalize().unwrap_or(library), "/rust");
    let registries = workspace::cargo_home().join("registry/src");
    for registry in fs::read_dir(&registries).into_iter().flatten().flatten() {
        remap(&registry.path(), "/crates");
    }
    Ok(flags)
}

/// Refuses mangled names: they hold a hash of the package's path, so each checkout would make other bytes.
fn check_names(object: &[u8]) -> Result<()> {
    let mangled = |name: &&[u8]| match name {
        [b'_', b'Z', b'N', ..] => true,
        [b'_', b'R', tag, ..] => tag.is_ascii_uppercase(),
        _ => false,
    };
    let Some(name) = object.split(|byte| *byte == 0).find(mangled) else { return Ok(()) };
    bail!(
        "the object holds the mangled name {}, which depends on the checkout's directory: mark the function \
         #[unsafe(no_mangle)] or #[inline(always)]",
        String::from_utf8_lossy(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_and_the_tool_chain_only_excuses() {
        let path = || PathBuf::from("fresh.o");
        assert_eq!(compare((b"a", "1"), (b"a", "1"), path()), Verdict::Same);
        assert_eq!(compare((b"a", "1"), (b"a", "2"), path()), Verdict::Same);
        assert_eq!(compare((b"a", "1"), (b"b", "1"), path()), Verdict::Differs);
        assert_eq!(compare((b"a", "1"), (b"b", "2"), path()), Verdict::OtherToolchain(path()));
        assert_eq!(compare((b"a", ""), (b"b", "2"), path()), Verdict::OtherToolchain(path()));
    }

    #[test]
    fn a_mangled_name_is_refused() {
        assert!(check_names(b"\0on_connect4\0_Rest\0_Z\0x_ZN4\0").is_ok());
        for name in ["_ZN4core3fmt17h0123456789abcdefE", "_RNvNtCsflCPaafehOh_10infernosim7counter5count"] {
            let error = check_names(format!("\0a\0{name}\0b").as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("{name},")), "{error}");
        }
    }
}
