//! Who plays in a demo: the dependencies, the target, the customer.

use crate::examples::Example;
use crate::workspace;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    /// The target, told where its dependencies are.
    ///
    /// # Errors
    /// In words for people, where its runtime is missing.
    pub fn target(&self, dependencies: &[String]) -> Result<Vec<OsString>, String> {
        let command = self.example.command(&self.directory)?;
        let command = command.into_iter().map(PathBuf::into_os_string);
        if self.is_orders() {
            let options = ["serve", "--listen", "127.0.0.1:0", "--inventory"].map(OsString::from);
            // So many connections the customer makes; the shop then closes.
            let closes = ["--connections", "4"].map(OsString::from);
            return Ok(command
                .chain(options)
                .chain(dependencies.iter().map(OsString::from))
                .chain(closes)
                .collect());
        }
        // By env(1): sudo would take variables away.
        let names = ["INVENTORY_URL", "PAYMENTS_URL", "COURIER_URL"];
        let variables = names.iter().zip(dependencies).map(|(name, url)| format!("{name}={url}").into());
        Ok(["env".into(), "PORT=0".into()].into_iter().chain(variables).chain(command).collect())
    }

    /// Somebody who asks the target, and is not captured.
    pub fn customer(&self, shop: &str) -> Command {
        let (program, what) =
            if self.is_orders() { ("orders", "buy") } else { ("shop-dependencies", "customer") };
        let mut command = workspace::command(self.directory.join(program));
        command.args([what, "--shop", shop]);
        command
    }

    /// Whether the target must be told to end.
    pub fn stays(&self) -> bool {
        !self.is_orders()
    }
}
