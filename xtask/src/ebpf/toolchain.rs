//! The tool chain of the kernel half: Debian's rustc, bpf-linker, llvm-objcopy.

use super::committed_text;
use crate::{command, workspace};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The major version of LLVM that rustc, bpf-linker and objcopy must share.
pub const LLVM: &str = "22";
/// The bpf-linker that is installed and expected.
pub const LINKER_VERSION: &str = "0.13.0";
/// Debian's packages: the compiler, the standard library's sources, llvm-objcopy.
pub const PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "llvm-22"];

/// Where the tools are.
pub struct Toolchain {
    /// Debian's compiler: it may use unstable features with `RUSTC_BOOTSTRAP`, and has the sources of `core`.
    pub rustc: PathBuf,
    /// bpf-linker.
    pub linker: PathBuf,
    /// LLVM's objcopy; GNU's cannot read BPF objects.
    pub objcopy: PathBuf,
}

/// The LLVM library that bpf-linker must be linked with.
pub fn library() -> PathBuf {
    PathBuf::from(format!("/usr/lib/{}-linux-gnu/libLLVM.so.{LLVM}.1", std::env::consts::ARCH))
}

impl Toolchain {
    /// Finds the tools; `Err` says which is missing and what to do.
    pub fn find() -> std::result::Result<Self, String> {
        let missing = |what: &str| format!("there is no {what}: run cargo xtask setup ebpf");
        let rustc = PathBuf::from("/usr/bin/rustc");
        let objcopy = PathBuf::from(format!("/usr/lib/llvm-{LLVM}/bin/llvm-objcopy"));
        let linker = command::find_tool("bpf-linker").ok_or_else(|| missing("bpf-linker"))?;
        for tool in [&rustc, &objcopy] {
            if !tool.is_file() {
                return Err(missing(&tool.display().to_string()));
            }
        }
        let tools = Self { rustc, linker, objcopy };
        let library = tools.std_sources().map_err(|error| format!("{error:#}"))?;
        if !library.join("library/core").is_dir() {
            return Err(missing(&format!("{}/library/core", library.display())));
        }
        Ok(tools)
    }

    /// Cargo in the kernel half's workspace, with this compiler and nothing of the caller's that could change the
    /// object: flags, profiles and wrappers in the environment, another tool chain, the outer build's variables.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(workspace::root().join("infernosim-ebpf"));
        for (variable, _) in std::env::vars_os() {
            if variable.to_str().is_some_and(changes_the_object) {
                cargo.env_remove(variable);
            }
        }
        cargo.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1");
        cargo
    }

    /// Where the compiler keeps the sources of its standard library.
    pub fn std_sources(&self) -> Result<PathBuf> {
        let sysroot = command::output(Command::new(&self.rustc).args(["--print", "sysroot"]))?;
        Ok(Path::new(&sysroot).join("lib/rustlib/src/rust"))
    }

    /// The versions of all that has a say in the object's bytes, one a line.
    pub fn describe(&self) -> Result<String> {
        let rustc = command::output(Command::new(&self.rustc).arg("-vV"))?;
        let objcopy = command::output(Command::new(&self.objcopy).arg("--version"))?;
        let field = |name: &str| {
            rustc.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or("unknown")
        };
        let linker = command::output(Command::new(&self.linker).arg("--version"))?;
        let llvm = library_of_linker(&self.linker);
        let objcopy = objcopy.lines().find_map(|line| line.split_once("version ")).context("no version")?.1;
        let mut text = format!(
            "rustc {} ({})\nllvm {}\n{linker} ({llvm})\nllvm-objcopy {objcopy}\n",
            field("release:"),
            field("commit-hash:"),
            field("LLVM version:"),
        );
        for package in PACKAGES.iter().copied().chain(["libllvm22"]) {
            let version = installed_version(package).unwrap_or_else(|| "none".to_owned());
            text.push_str(&format!("package {package} {version}\n"));
        }
        Ok(text)
    }
}

/// The LLVM library that a bpf-linker is linked with: one built with another LLVM makes other code.
pub fn library_of_linker(linker: &Path) -> String {
    let libraries = command::output(Command::new("ldd").arg(linker)).unwrap_or_default();
    let name = libraries.split_whitespace().find(|word| word.starts_with("libLLVM"));
    name.unwrap_or("LLVM inside").to_owned()
}

/// Whether a variable of the caller's could change what the compiler makes. Where cargo keeps its files and how it
/// reaches the registry is the caller's own.
fn changes_the_object(variable: &str) -> bool {
    let harmless =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];
    if harmless.iter().any(|prefix| variable.starts_with(prefix)) {
        return false;
    }
    let suspects =
        ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "OUT_DIR"];
    suspects.iter().any(|prefix| variable.starts_with(prefix)) || variable == "SOURCE_DATE_EPOCH"
}

/// The version of an installed Debian package.
pub fn installed_version(package: &str) -> Option<String> {
    let format = "--showformat=${db:Status-Abbrev}${Version}";
    let text = command::output(Command::new("dpkg-query").args(["--show", format, package])).ok()?;
    text.strip_prefix("ii ").map(str::to_owned)
}

/// The version of a package that made the committed object, as its text says.
pub fn wanted_version(package: &str) -> Option<String> {
    wanted_in(&std::fs::read_to_string(committed_text()).ok()?, package)
}

fn wanted_in(text: &str, package: &str) -> Option<String> {
    let version = text.lines().find_map(|line| line.strip_prefix(&format!("package {package} ")))?;
    (version != "none").then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_text_pins_package_versions() {
        let text = "rustc 1\npackage rustc-web 1.96.0+dfsg1-1~deb12u2\npackage llvm-22 none\n";
        assert_eq!(wanted_in(text, "rustc-web").as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(wanted_in(text, "llvm-22"), None);
        assert_eq!(wanted_in(text, "rustc"), None);
    }

    #[test]
    fn the_callers_flags_do_not_reach_the_kernel_half() {
        let changing = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "RUSTC_WRAPPER"];
        for variable in changing.iter().chain(&["CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "RUSTUP_TOOLCHAIN"])
        {
            assert!(changes_the_object(variable), "{variable}");
        }
        for variable in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_REGISTRIES_X_INDEX", "RUSTUP_HOME", "PATH"]
        {
            assert!(!changes_the_object(variable), "{variable}");
        }
    }
}
