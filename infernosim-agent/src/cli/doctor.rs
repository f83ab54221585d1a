use clap::Args;
use serde::Serialize;

use crate::error::{Exit, ExpectedError, Result};
use crate::proxy::{Listener, raise_open_files};
use crate::redirect::{Redirect, Setting};
use crate::target::{Cgroup, Identity, Inheritance, launch};

/// Say what this host can do: works, or why not and what to do.
///
/// Every ability is tried, not guessed from versions; nothing is left behind. Exit status 3 if something that
/// capture needs does not work.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Something a capture needs, tried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ability {
    name: &'static str,
    works: bool,
    /// What was found, or why not.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Doctor {
    /// Examines; returns the status to exit with.
    pub fn run(&self, out: &mut impl std::io::Write) -> Result<i32> {
        let abilities = examine();
        let written = if self.json {
            serde_json::to_string_pretty(&abilities)
                .map_err(std::io::Error::from)
                .and_then(|text| writeln!(out, "{text}"))
        } else {
            print(&abilities, out)
        };
        written.or_else(super::quiet_if_pipe_broke)?;
        let all = abilities.iter().all(|ability| ability.works);
        Ok(if all { Exit::Pass as i32 } else { Exit::Host as i32 })
    }
}

fn print(abilities: &[Ability], out: &mut impl std::io::Write) -> std::io::Result<()> {
    for ability in abilities {
        let word = if ability.works { "works" } else { "no" };
        writeln!(out, "{word:<6} {:<28} {}", ability.name, ability.detail)?;
        if let Some(help) = &ability.help {
            writeln!(out, "{:<6} {:<28} → {help}", "", "")?;
        }
    }
    Ok(())
}

fn examine() -> Vec<Ability> {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |host| format!("Linux {} {}", host.release().to_string_lossy(), host.machine().to_string_lossy()),
    );
    let mut abilities = vec![Ability { name: "kernel", works: true, detail: kernel, help: None }];
    let (open_files, connections) = raise_open_files();
    abilities.push(Ability {
        name: "relayed connections",
        works: connections >= 256,
        detail: format!("{connections} at a time; beyond, connections go direct and are counted"),
        help: (connections < 256).then(|| "raise the hard limit of open files (ulimit -Hn)".to_owned()),
    });
    let cgroup = Cgroup::create();
    abilities.push(tried("cgroup of its own", &cgroup, |_| "cgroup v2, writable".to_owned()));
    let listener = Listener::bind();
    abilities.push(tried("listen on loopback", &listener, |listener| {
        if listener.v6.is_some() { "127.0.0.1 and ::1".into() } else { "127.0.0.1 only: IPv6 is off".into() }
    }));
    let mut redirect = Redirect::load(&Setting { connections: 1024, ..Setting::default() });
    abilities.push(tried("load the kernel programs", &redirect, |_| "accepted by the verifier".to_owned()));
    if let Ok(cgroup) = &cgroup {
        if let Ok((redirect, ..)) = &mut redirect {
            let attached = redirect.attach(cgroup.directory());
            let detail = "redirect, peer name, port and socket hooks".to_owned();
            abilities.push(tried("attach them to a cgroup", &attached, |()| detail));
        }
        let launched = launch_nothing(cgroup, open_files);
        abilities.push(tried("launch into a cgroup", &launched, |()| "clone3 with CLONE_INTO_CGROUP".into()));
    }
    abilities
}

/// Starts the child that would execute CMD and lets it go before it does.
fn launch_nothing(cgroup: &Cgroup, open_files: (u64, u64)) -> Result<()> {
    let signals = nix::sys::signal::SigSet::empty();
    let waiting =
        launch(&["true".into()], Some(cgroup), &Identity::of_caller(None)?, Inheritance { open_files, signals })?;
    let pid = waiting.pid();
    drop(waiting);
    let _ = nix::sys::wait::waitpid(pid, None);
    Ok(())
}

fn tried<T>(name: &'static str, result: &Result<T>, detail: impl FnOnce(&T) -> String) -> Ability {
    match result {
        Ok(value) => Ability { name, works: true, detail: detail(value), help: None },
        Err(ExpectedError { message, help, .. }) => {
            Ability { name, works: false, detail: message.clone(), help: help.clone() }
        }
    }
}
