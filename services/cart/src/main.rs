//! The cart service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main_with("cart", cart::migrate, messaging::operate, cart::run)
}
