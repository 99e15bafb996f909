//! From the command line to the exit code.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use souk::cli::{EXIT_USAGE, one_line};

use crate::cli::{Cli, Step};
use crate::{catalogue, secrets};

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{}", one_line(&error.to_string()));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(&cli.step) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("init: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn run(step: &Step) -> Result<String> {
    match step {
        Step::Secrets(options) => secrets::write(options),
        Step::Catalogue(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(catalogue::fill(options))
        }
    }
}
