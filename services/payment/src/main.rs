//! The payment service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("payment", payment::migrate, payment::run)
}
