//! `cargo souk chaos`: fault injection. It breaks a shop of its own on purpose while customers buy, and says from the
//! records which promises it kept.
//!
//! Two of each service run as processes, on stores of their own. A nemesis strikes them at times
//! that were fixed before: the seed alone decides what is struck, how and when ([`schedule`]), so
//! that a run that failed can be run again. What the customers were told is written down call by
//! call ([`calls`]); a call whose answer was lost counts as unknown, and both of its outcomes are
//! right. When the faults are over every order has a minute to end. Then the auditor reads the
//! databases and the payment provider's ledger, and [`judge`] compares them with what was said.

pub mod calls;
pub mod judge;
pub mod planted;
pub mod proxy;
pub mod schedule;
mod customer;
mod buyers;
mod staff;
mod seed;
mod detour;
mod disk;
mod nemesis;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser as _;
use souk::cli::{Chaos, EXIT_USAGE};
use souk::style::red;

pub use report::Report;
pub use run::{Run, run};

#[derive(Debug, clap::Parser)]
#[command(name = "chaos", about = "Break the shop on purpose while customers buy", version)]
struct Program {
    #[command(flatten)]
    chaos: Chaos,
}

/// The whole program. 0: every promise was kept; 1: one was not, or too little happened to say so;
/// 64: the command line makes no sense.
pub fn main() -> ExitCode {
    let Program { chaos } = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            let _ = error.print(); // if it cannot be printed, nobody looks
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    if let Err(line) = chaos.check() {
        eprintln!("{line}");
        return EXIT_USAGE.into();
    }
    match run::verb(&chaos) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{} {error:#}", red("error:"));
            ExitCode::FAILURE
        }
    }
}
