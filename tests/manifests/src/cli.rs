//! `manifests CHECK`: what `cargo souk test --all` runs, one check at a time.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use stores::Home;

use crate::checks;

/// Checks the manifests and the compose file, and first that the check finds what is broken.
#[derive(Debug, Parser)]
#[command(name = "manifests", version)]
struct Cli {
    /// Which check
    check: Check,
}

/// What can be checked.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Check {
    /// Every kustomization renders, and what it renders keeps our own rules
    Rules,
    /// Every object fits the schema of its kind, without a field more; unknown kinds are refused. The
    /// catalogue of events is an AsyncAPI document
    Schemas,
    /// checkov finds nothing but what has a reason (k8s/checkov.yaml)
    Checkov,
    /// docker-compose.yml fits the schema of compose files
    Compose,
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { souk::cli::EXIT_USAGE } else { 0 };
            let _ = error.print(); // nobody is left to tell
            return ExitCode::from(code);
        }
    };
    match run(cli.check) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
            eprintln!("manifests: {} complaint(s)", complaints.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("manifests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(check: Check) -> Result<crate::Complaints> {
    let home = Home::find().context("run it inside the repository")?;
    match check {
        Check::Rules => checks::rules(&home),
        Check::Schemas => checks::schemas(&home),
        Check::Checkov => checks::checkov(&home),
        Check::Compose => checks::compose(&home),
    }
}
