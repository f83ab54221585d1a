//! Debian's and Ubuntu's packages.

use crate::command;
use anyhow::{Result, bail};
use std::process::Command;

/// Installs packages (`name` or `name=version`), all at once; if that fails one by one, so that a package which is
/// nowhere costs only itself. Gives those that could not be installed. Wants [`update`] first.
///
/// # Errors
/// Where there is no way to become root.
pub fn install(packages: &[&str]) -> Result<Vec<String>> {
    if try_install(packages)? {
        return Ok(Vec::new());
    }
    let mut failed = Vec::new();
    for package in packages {
        if packages.len() == 1 || !try_install(&[package])? {
            failed.push((*package).to_owned());
        }
    }
    Ok(failed)
}

/// Fetches the lists of packages. Old lists may do, so a failure is no error but `false`.
///
/// # Errors
/// Where there is no apt-get, or no way to become root.
pub fn update() -> Result<bool> {
    if command::find("apt-get").is_none() {
        bail!("there is no apt-get here: only Debian, Ubuntu and their like are set up by themselves");
    }
    let status = command::status(command::as_root("apt-get")?.args(["update", "-q"]))?;
    if !status.success() {
        println!("setup: apt-get update failed; going on with the lists that are here");
    }
    Ok(status.success())
}

fn try_install(packages: &[&str]) -> Result<bool> {
    let mut install = command::as_root("env")?;
    install.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-qq",
        "-y",
        "--no-install-recommends",
    ]);
    Ok(command::status(install.args(packages))?.success())
}

/// The versions of a package that could be installed; none where apt does not know it.
pub fn versions(package: &str) -> Vec<String> {
    let table = command::output(Command::new("apt-cache").args(["madison", package])).unwrap_or_default();
    table.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect()
}

/// What to ask apt for: the wanted version of a package if it is to be had, else any.
pub fn choose(package: &str, wanted: Option<&str>, available: &[String]) -> String {
    match wanted {
        Some(version) if available.iter().any(|one| one == version) => format!("{package}={version}"),
        _ => package.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_version_is_asked_for_only_where_it_is_to_be_had() {
        let available = ["2".to_owned(), "1".to_owned()];
        assert_eq!(choose("p", Some("1"), &available), "p=1");
        assert_eq!(choose("p", Some("0"), &available), "p");
        assert_eq!(choose("p", None, &available), "p");
        assert_eq!(choose("p", Some("1"), &[]), "p");
    }
}
