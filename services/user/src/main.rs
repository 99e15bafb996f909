//! The user service: see README.md.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::main("user", user::migrate, user::run)
}
