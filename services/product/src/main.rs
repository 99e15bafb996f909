//! The product service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("product", product::migrate, product::run)
}
