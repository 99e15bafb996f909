//! The user service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main_with("user", user::migrate, messaging::operate, user::run)
}
