//! The operator's page: a process beside the shop's own, which none of them knows of.

use anyhow::Result;

use super::environment::Environment;
use super::{Places, Plan, Task};
use crate::ports::Ports;

/// The process with the operator's page.
pub const CONSOLE: &str = "console";

/// The host in its address. Browsers resolve it to this machine (RFC 6761), and what a page of the shop's host may read or
/// send, cookies above all, is not for this one.
pub const CONSOLE_HOST: &str = "console.localhost";

/// Taken if it is free, so that an address that somebody has kept goes on to be right.
const PORT: u16 = 8_090;

impl Plan {
    /// Gives it an address.
    ///
    /// # Errors
    /// When no port is free.
    pub fn add_console(&mut self, ports: &mut Ports) -> Result<()> {
        let address = ports.exactly(PORT).or_else(|_| ports.any())?;
        self.tasks.push(Task::new(CONSOLE, CONSOLE, address, address));
        Ok(())
    }
}

pub(super) fn environment(env: &mut Environment, task: &Task, places: &Places) {
    env.set("CONSOLE_LISTEN", task.listen);
    env.path("CONSOLE_RUN", places.layout.run().to_owned());
    env.path("CONSOLE_TOKEN_FILE", places.secrets.console_token_file());
}
