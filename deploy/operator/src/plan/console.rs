//! The operator's page: a process beside the shop's own, which none of them knows of.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpListener};

use anyhow::Result;

use super::environment::Environment;
use super::{Places, Plan, Task};
use crate::ports::Ports;

/// The process with the operator's page.
pub const CONSOLE: &str = "console";

/// The host in its address. Browsers resolve it to this machine (RFC 6761), and what a page of the shop's host may read or
/// send, cookies above all, is not for this one.
pub const CONSOLE_HOST: &str = "console.localhost";

/// Taken if it is free: an address that can be remembered.
const PORT: u16 = 8_090;

impl Plan {
    /// Gives it an address.
    ///
    /// # Errors
    /// When no port is free.
    pub fn add_console(&mut self, ports: &mut Ports) -> Result<()> {
        // Browsers try the other loopback first; who listens there would be given the token.
        let free = TcpListener::bind((Ipv6Addr::LOCALHOST, PORT));
        let taken = free.is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
        let address =
            if taken { ports.any() } else { ports.exactly(PORT).or_else(|_| ports.any()) };
        let address = address?;
        self.tasks.push(Task::new(CONSOLE, CONSOLE, address, address));
        Ok(())
    }
}

pub(super) fn environment(env: &mut Environment, task: &Task, places: &Places) {
    env.set("CONSOLE_LISTEN", task.listen);
    env.path("CONSOLE_RUN", places.layout.run().to_owned());
    env.path("CONSOLE_TOKEN_FILE", places.secrets.console_token_file());
}
