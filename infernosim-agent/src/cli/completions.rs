use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::error::{Exit, Result};

/// Print a script with which a shell completes commands, options and values.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell that is to complete.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

const EXAMPLES: &str = "Examples:
  infernosim completions bash > ~/.local/share/bash-completion/completions/infernosim
  infernosim completions zsh > ~/.zfunc/_infernosim
  infernosim completions fish > ~/.config/fish/completions/infernosim.fish";

impl Completions {
    /// Prints; returns the status to exit with.
    pub fn run(&self, command: &clap::Command, out: &mut impl Write) -> Result<i32> {
        let mut command = shown(command);
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out.write_all(&script).and_then(|()| out.flush()).or_else(super::quiet_if_pipe_broke)?;
        Ok(Exit::Pass as i32)
    }
}

/// The commands and options that help shows: the generators would tell of hidden ones, too.
fn shown(command: &clap::Command) -> clap::Command {
    let mut shown_only = clap::Command::new(command.get_name().to_owned());
    if let Some(version) = command.get_version() {
        shown_only = shown_only.version(version.to_owned());
    }
    // Options may be in conflict with a group. Those with hidden options in them (clap's own, of all) would name what is gone.
    let is_shown = |id: &clap::Id| {
        command.get_arguments().any(|argument| argument.get_id() == id && !argument.is_hide_set())
    };
    shown_only
        .groups(command.get_groups().filter(|group| group.get_args().all(is_shown)).cloned())
        .about(command.get_about().cloned().unwrap_or_default())
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|command| !command.is_hide_set()).map(shown))
}
