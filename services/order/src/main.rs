//! The order service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main_with("order", order::migrate, messaging::operate, order::run)
}
