//! The tool chain of the kernel half, from packages only (`docs/toolchain.md` says why these).

use super::apt;
use crate::ebpf::{
    LINKER_VERSION, LLVM, PACKAGES, installed_version, library, library_of_linker, wanted_version,
};
use crate::{command, workspace};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What came of setting up the tool chain.
pub enum Ready {
    /// All tools are here.
    Yes,
    /// Debian has moved on: these packages are no longer to be had. The committed object still serves.
    Gone(String),
}

/// Installs Debian's compiler and bpf-linker, where they are missing.
///
/// # Errors
/// When the lists of packages cannot be read, or an installation fails.
pub fn setup() -> Result<Ready> {
    match compiler()? {
        Ready::Yes => linker().map(|()| Ready::Yes),
        gone => Ok(gone),
    }
}

/// Debian's packages, in the versions that made the committed object where those are still to be had.
fn compiler() -> Result<Ready> {
    let missing: Vec<&str> =
        PACKAGES.into_iter().filter(|package| installed_version(package).is_none()).collect();
    if missing.is_empty() {
        println!("setup: the compiler of the kernel half is here");
        return Ok(Ready::Yes);
    }
    let fresh = apt::update().context("the compiler of the kernel half comes as Debian packages")?;
    let versions: Vec<Vec<String>> = missing.iter().map(|package| apt::versions(package)).collect();
    if versions.iter().any(Vec::is_empty) {
        if !fresh {
            bail!("apt-get update failed, so {} cannot be found", missing.join(", "));
        }
        return Ok(Ready::Gone(missing.join(", ")));
    }
    let chosen: Vec<String> = missing
        .iter()
        .zip(&versions)
        .map(|(package, versions)| apt::choose(package, wanted_version(package).as_deref(), versions))
        .collect();
    let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
    let mut failed = apt::install(&chosen)?;
    if !failed.is_empty() && chosen != missing {
        failed = apt::install(&missing)?;
    }
    if !failed.is_empty() {
        bail!("{} cannot be installed: apt-get says why above", failed.join(", "));
    }
    Ok(Ready::Yes)
}

/// bpf-linker, linked with the LLVM that Debian's compiler uses.
fn linker() -> Result<()> {
    let library = library();
    if let Some(linker) = command::find_tool("bpf-linker")
        && is_expected(&linker)
    {
        println!("setup: bpf-linker is here");
        return Ok(());
    }
    // One link stands for the 400 MB of LLVM's development package: nothing else of it is needed.
    let prefix = workspace::target_dir()?.join("setup").join(format!("llvm-{LLVM}"));
    let link = prefix.join("lib/libLLVM.so");
    std::fs::create_dir_all(prefix.join("lib"))?;
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&library, &link).with_context(|| format!("cannot make {}", link.display()))?;
    let features = format!("llvm-{LLVM}");
    let mut install = command::cargo();
    // --force: the same version linked with another LLVM counts as installed.
    install
        .args(["install", "--locked", "--force", "bpf-linker", "--version", LINKER_VERSION])
        .args(["--no-default-features", "--features", &features])
        .env("LLVM_PREFIX", &prefix)
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .env_remove("CARGO_TARGET_DIR");
    command::run(&mut install)
}

/// Whether a bpf-linker is the expected version, linked with the expected LLVM.
fn is_expected(linker: &Path) -> bool {
    let version = command::output(Command::new(linker).arg("--version")).unwrap_or_default();
    let wanted = library().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    version == format!("bpf-linker {LINKER_VERSION}") && library_of_linker(linker) == wanted
}
