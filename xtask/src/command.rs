//! Running other programs: said aloud, with the right environment, as root where that is needed.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What `cargo run` tells the program that it runs about that program's package. Left in place it would reach the
/// builds that xtask starts, and build scripts that watch these variables would run again at every turn.
fn is_about_xtask(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_")
        || ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_BIN_NAME", "OUT_DIR"]
            .contains(&variable)
}

/// Cargo, in the checkout's root, as if it had been called by hand.
pub fn cargo() -> Command {
    let mut cargo = workspace::command("cargo");
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(is_about_xtask) {
            cargo.env_remove(variable);
        }
    }
    cargo
}

/// Prints the command, runs it with our standard streams, and gives its status.
///
/// # Errors
/// When the program cannot be started.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    println!("$ {}", show(command));
    command.status().with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))
}

/// As [`status`], and a status other than 0 is an error.
///
/// # Errors
/// When the program cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().to_string_lossy());
    }
    Ok(())
}

/// Runs a command without printing it and gives what it wrote to its standard output, trimmed.
///
/// # Errors
/// When the program cannot be started or fails; what it wrote to its standard error is in the message.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", show(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as it would be typed into a shell in the checkout's root: variables set for it, program, arguments.
pub fn show(command: &Command) -> String {
    let root = workspace::root();
    let plain = |text: &OsStr| match Path::new(text).strip_prefix(&root) {
        Ok(here) if here.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => quote(&inside.to_string_lossy()),
        Err(_) => quote(&text.to_string_lossy()),
    };
    let variables = command.get_envs().filter_map(|(name, value)| {
        // Not shortened: who reads the variable may do so in another directory.
        value.map(|value| format!("{}={}", name.to_string_lossy(), quote(&value.to_string_lossy())))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables.chain(words.map(plain)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a POSIX shell, if it needs that.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Whether we are root (the owner of our entry in /proc is our effective user).
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// `program` run as root: itself when we are, else through sudo. Without a terminal sudo must not ask.
///
/// # Errors
/// When we are not root and there is no sudo.
pub fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(workspace::command(program));
    }
    if find("sudo").is_none() {
        bail!("this needs root, and there is no sudo: run it as root");
    }
    let mut sudo = workspace::command("sudo");
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        sudo.arg("-n");
    }
    sudo.arg(program);
    Ok(sudo)
}

/// Where the system keeps programs. A version manager's shims (pyenv, nvm) are not among them, and neither does
/// root see those through sudo.
const SYSTEM_DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The path of a program of the system's.
pub fn find(program: &str) -> Option<PathBuf> {
    SYSTEM_DIRECTORIES.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.is_file())
}

/// The path of a program that cargo installs: in `PATH`, in `CARGO_HOME`, or the system's.
pub fn find_tool(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.push(workspace::cargo_home().join("bin"));
    directories.iter().map(|directory| directory.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let root = workspace::root();
        let mut command = Command::new(root.join("target/release/x"));
        command.env("A", "b c").env_remove("D").args(["--to", "it's", ""]).arg(root.join("target"));
        assert_eq!(show(&command), r"A='b c' target/release/x --to 'it'\''s' '' target");
    }

    #[test]
    fn only_variables_about_xtask_are_taken_away() {
        for variable in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR"] {
            assert!(is_about_xtask(variable), "{variable}");
        }
        for variable in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "PATH", "RUSTUP_TOOLCHAIN"] {
            assert!(!is_about_xtask(variable), "{variable}");
        }
    }

    #[test]
    fn a_failing_program_is_an_error_and_its_words_are_in_it() {
        let error = output(Command::new("sh").args(["-c", "echo oh dear >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("oh dear"), "{error}");
        assert!(error.to_string().contains("3"), "{error}");
        assert!(output(&mut Command::new("sh-that-is-nowhere")).is_err());
        assert_eq!(output(Command::new("sh").args(["-c", "echo ' yes '"])).unwrap(), "yes");
    }
}
