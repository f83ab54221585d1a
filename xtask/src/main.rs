//! The project's own tasks: `cargo xtask COMMAND`, one file or folder per command.
//!
//! Plain programs are run and their commands printed (`$ …`), so that whatever a task does can be repeated by
//! hand. `docs/development.md` describes each command for people.

mod bench;
mod command;
mod demo;
mod ebpf;
mod examples;
mod proofs;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// The exit status of a command line that makes no sense, as in `infernosim` itself.
const USAGE: u8 = 2;

/// One command of `cargo xtask`.
struct Task {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<ExitCode>,
}

const TASKS: &[Task] = &[
    Task {
        name: "setup",
        arguments: "[tests|ebpf]",
        about: "install what tests need, and the tool chain of the kernel half",
        run: setup::run,
    },
    Task {
        name: "test",
        arguments: "",
        about: "run all tests; with CI=true everything that CI checks",
        run: test::run,
    },
    Task {
        name: "tidy",
        arguments: "[--write]",
        about: "check the house rules: sizes, import order, links, the catalogue of errors; --write makes that anew",
        run: tidy::run,
    },
    Task {
        name: "demo",
        arguments: "[--example NAME] [--dev]",
        about: "build, capture one of the examples, show what was recorded",
        run: demo::run,
    },
    Task {
        name: "examples",
        arguments: "record [NAME…]",
        about: "capture the shops among the examples anew, for the incidents that are committed",
        run: examples::run,
    },
    Task {
        name: "ebpf",
        arguments: "build|verify",
        about: "rebuild the kernel half's object, or compare it with the committed one",
        run: ebpf::run,
    },
    Task {
        name: "proofs",
        arguments: "",
        about: "the privileged tests with their long counts, in release",
        run: proofs::run,
    },
    Task { name: "bench", arguments: "…", about: "measure the cost of capture", run: bench::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprint!("xtask: there is no command {name:?}\n\n{}", usage());
        return ExitCode::from(USAGE);
    };
    if rest.iter().any(|argument| argument == "-h" || argument == "--help") && name != "bench" {
        println!("cargo xtask {} {}\n    {}", task.name, task.arguments, task.about);
        return ExitCode::SUCCESS;
    }
    (task.run)(rest).unwrap_or_else(|error| {
        eprintln!("xtask {name}: {error:#}");
        ExitCode::FAILURE
    })
}

/// The list of commands.
fn usage() -> String {
    let mut text = String::from("usage: cargo xtask COMMAND\n\n");
    for task in TASKS {
        let call = format!("{} {}", task.name, task.arguments);
        text.push_str(&format!("  {call:<20} {}\n", task.about));
    }
    text
}

/// Says how `name` is called, for arguments that it does not know.
fn misuse(name: &str) -> anyhow::Result<ExitCode> {
    let arguments = TASKS.iter().find(|task| task.name == name).map_or("", |task| task.arguments);
    eprintln!("usage: cargo xtask {name} {arguments}");
    Ok(ExitCode::from(USAGE))
}
