//! Who plays in a demo: the dependencies, the target, the customer.

use crate::examples::Example;
use crate::workspace;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where nobody is: a mistake in a shop's configuration.
const WRONG: &str = "http://127.0.0.1:9";

/// What a target does besides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It ends when the customer has gone, if it knows how.
    ClosesAfterTheCustomer,
    /// It goes on until it is told to end.
    Stays,
    /// It is broken on purpose: it reserves one too many, or looks for the courier at the wrong port.
    Broken,
}

/// The commands of a demo, for programs that were built into `directory`.
pub struct Parts {
    example: &'static Example,
    directory: PathBuf,
}

impl Parts {
    /// Of this example.
    pub fn of(example: &'static Example, directory: &Path) -> Self {
        Self { example, directory: directory.to_owned() }
    }

    fn is_orders(&self) -> bool {
        self.example.name == "orders"
    }

    /// What the target calls, and how many services that is.
    pub fn dependencies(&self) -> (Command, usize) {
        let (program, what, services) =
            if self.is_orders() { ("orders", "inventory", 1) } else { ("shop-dependencies", "all", 3) };
        let mut command = workspace::command(self.directory.join(program));
        command.args([what, "--listen", "127.0.0.1:0"]);
        (command, services)
    }

    /// The target, told where its dependencies are and on which port of loopback to listen.
    ///
    /// # Errors
    /// In words for people, where its runtime is missing.
    pub fn target(&self, port: u16, dependencies: &[String], mood: Mood) -> Result<Vec<OsString>, String> {
        let command = self.example.command(&self.directory)?;
        let command = command.into_iter().map(PathBuf::into_os_string);
        if self.is_orders() {
            let mut options = vec!["serve".into(), "--listen".into(), format!("127.0.0.1:{port}")];
            options.extend(dependencies.iter().flat_map(|url| ["--inventory".into(), url.clone()]));
            options.extend(match mood {
                // So many connections the customer makes.
                Mood::ClosesAfterTheCustomer => vec!["--connections".to_owned(), "4".to_owned()],
                Mood::Stays => Vec::new(),
                Mood::Broken => vec!["--spare".to_owned(), "1".to_owned()],
            });
            return Ok(command.chain(options.into_iter().map(OsString::from)).collect());
        }
        let mut urls = dependencies.to_vec();
        if let (Mood::Broken, Some(courier)) = (mood, urls.last_mut()) {
            WRONG.clone_into(courier);
        }
        // By env(1): sudo would take variables away.
        let names = ["INVENTORY_URL", "PAYMENTS_URL", "COURIER_URL"];
        let variables = names.iter().zip(urls).map(|(name, url)| format!("{name}={url}").into());
        Ok(["env".into(), format!("PORT={port}").into()]
            .into_iter()
            .chain(variables)
            .chain(command)
            .collect())
    }

    /// Somebody who asks the target, and is not captured.
    pub fn customer(&self, shop: &str) -> Command {
        let (program, what) =
            if self.is_orders() { ("orders", "buy") } else { ("shop-dependencies", "customer") };
        let mut command = workspace::command(self.directory.join(program));
        command.args([what, "--shop", shop]);
        command
    }

    /// What is broken in [`Mood::Broken`].
    pub fn fault(&self) -> &'static str {
        if self.is_orders() {
            "it reserves one more than was ordered"
        } else {
            "it looks for the courier at port 9"
        }
    }

    /// Whether the target must be told to end.
    pub fn stays(&self) -> bool {
        !self.is_orders()
    }
}
