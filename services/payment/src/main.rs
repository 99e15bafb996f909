//! The payment service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main_with("payment", payment::migrate, payment::operate, payment::run)
}
