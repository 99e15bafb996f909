//! The order service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("order", order::migrate, order::run)
}
