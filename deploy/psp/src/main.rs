//! The process `psp`.

mod process;

use std::process::ExitCode;

use clap::Parser;
use psp::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return process::usage(&error),
    };
    process::report(match cli.command() {
        Some(Command::Healthcheck { listen }) => psp::healthcheck(*listen),
        None => process::serve(cli.into_config()),
    })
}
