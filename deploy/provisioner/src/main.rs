//! The provisioner of the bus: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("provisioner", service::nothing_to_migrate, provisioner::run)
}
