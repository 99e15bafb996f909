//! The product service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main_with("product", product::migrate, messaging::operate, product::run)
}
