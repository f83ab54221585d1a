//! What each phase of a test run does.

use super::{Count, Privileged, Run, obstacle, privileged};
use crate::ebpf::{self, Verdict};
use crate::examples::{self, EXAMPLES, Profile};
use crate::setup::{self, Ready};
use crate::{command, demo, tidy, workspace};
use anyhow::{Result, bail};
use std::process::{ExitCode, Stdio};

/// Everything but the tests that need root.
const UNPRIVILEGED: &str = "not binary(=kernel)";

/// What tests run. At the desk a test that misses its program will say so itself.
pub fn setup_tests(run: &mut Run) -> Result<()> {
    match setup::tests() {
        Err(error) if !run.ci => run.warn(format!("tests may miss a program: {error:#}")),
        result => result?,
    }
    Ok(())
}

/// The tool chain of the kernel half. Debian may have moved on: then the committed object is all there is.
pub fn setup_ebpf(run: &mut Run) -> Result<()> {
    if let Ready::Gone(packages) = setup::kernel_half()? {
        run.warn(format!(
            "the package sources no longer have {packages}: move the kernel half to another compiler"
        ));
    }
    Ok(())
}

/// The committed object is what the sources build to; if that cannot be said here, a fresh one is tested instead.
pub fn ebpf_verify(run: &mut Run) -> Result<()> {
    match ebpf::verify()? {
        Verdict::Same => {}
        Verdict::Differs => {
            bail!("the committed object is not what the sources build to: cargo xtask ebpf build")
        }
        Verdict::OtherToolchain(fresh) => {
            run.warn(
                "the tool chain of the kernel half has moved on: the fresh object is tested, and the committed one \
                 wants to be made anew (cargo xtask ebpf build)"
                    .to_owned(),
            );
            run.object = Some(fresh);
        }
        Verdict::NoToolchain(missing) => {
            run.warn(format!("the committed object is tested but WAS NOT VERIFIED: {missing}"));
        }
    }
    Ok(())
}

/// The format of both workspaces.
pub fn fmt(_: &mut Run) -> Result<()> {
    let root = command::run(command::cargo().args(["fmt", "--all", "--check"]));
    let kernel_half = workspace::root().join("infernosim-ebpf/Cargo.toml");
    command::run(command::cargo().args(["fmt", "--check", "--manifest-path"]).arg(kernel_half)).and(root)
}

/// Lints, warnings denied.
pub fn clippy(run: &mut Run) -> Result<()> {
    command::run(run.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// The house rules.
pub fn tidy(_: &mut Run) -> Result<()> {
    if tidy::run(&[])? != ExitCode::SUCCESS {
        bail!("see the lines above");
    }
    Ok(())
}

/// Builds all that is tested, the examples that tests capture among it, as the invoking user.
pub fn build(run: &mut Run) -> Result<()> {
    command::run(run.cargo().args(["nextest", "run", "--workspace", "--no-run"]))?;
    examples::build_go(Profile::Dev)
}

/// Unit tests, and integration tests that need no privilege.
pub fn tests(run: &mut Run) -> Result<()> {
    let report = workspace::report("default");
    // A report of an earlier run must not be counted.
    let _ = std::fs::remove_file(&report);
    let mut nextest = run.cargo();
    nextest.args(["nextest", "run", "--workspace", "--no-fail-fast", "-E", UNPRIVILEGED]);
    let status = command::status(&mut nextest)?;
    run.count += Count::from_junit(&report)?;
    if !status.success() {
        bail!("nextest ended with {status}");
    }
    Ok(())
}

/// The tests that load the kernel half. They may not be skipped in silence, and in CI not at all.
pub fn kernel_tests(run: &mut Run) -> Result<()> {
    let outcome = privileged(run.cargo(), "kernel", &[])?;
    match outcome {
        Privileged::Ran { count, success } => {
            run.count += count;
            if !success {
                bail!("privileged tests failed");
            }
        }
        Privileged::Cannot(reason) if run.ci => bail!("the privileged tests cannot run here: {reason}"),
        Privileged::Cannot(reason) => run.warn(format!("THE PRIVILEGED TESTS WERE NOT RUN: {reason}")),
    }
    Ok(())
}

/// Each demo, with the binary that was just tested; each counts as a test.
pub fn demos(run: &mut Run) -> Result<()> {
    match obstacle()? {
        Some(reason) if run.ci => bail!("the demos cannot run here: {reason}"),
        Some(reason) => {
            run.warn(format!("THE DEMOS WERE NOT RUN: {reason}"));
            return Ok(());
        }
        None => {}
    }
    let directory = Profile::Dev.directory()?;
    let mut failed = Vec::new();
    for example in &EXAMPLES {
        if let Err(missing) = example.runtime()
            && !run.ci
        {
            run.warn(format!("A DEMO WAS NOT RUN: {missing}"));
            continue;
        }
        println!(
            "
demo {}",
            example.name
        );
        let passed = match demo::show(example, &directory) {
            Ok(code) => code == ExitCode::SUCCESS,
            Err(error) => {
                println!("demo {}: {error:#}", example.name);
                false
            }
        };
        run.count += Count { passed: passed.into(), failed: (!passed).into() };
        failed.extend((!passed).then_some(example.name));
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The examples in the documentation: nextest does not run these.
pub fn doc_tests(run: &mut Run) -> Result<()> {
    let mut test = run.cargo();
    test.args(["test", "--quiet", "--workspace", "--doc"]).stderr(Stdio::inherit());
    println!("$ {}", command::show(&test));
    let output = test.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    run.count += Count::from_cargo_test(&said);
    if !output.status.success() {
        bail!("cargo test ended with {}", output.status);
    }
    Ok(())
}
