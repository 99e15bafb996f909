//! The cart service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("cart", cart::migrate, cart::run)
}
