//! The gateway: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("gateway", service::nothing_to_migrate, gateway::run)
}
