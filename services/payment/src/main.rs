//! The payment service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main_with("payment", payment::migrate, messaging::operate, payment::run)
}
