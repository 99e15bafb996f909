//! `cargo souk load`: puts the shop under load and says how it bears it.
//!
//! Requests are sent at times that were fixed before ([`schedule`]), whether or not the shop has
//! answered the ones before, because customers do not wait for each other. A latency is counted from
//! the moment at which the request was due: what the shop makes others wait for is in it (no
//! coordinated omission), and so is what the generator itself was late by, which is told separately.
//!
//! The generator is a small neighbour of what it measures: one thread that sends, one that keeps
//! time; requests are assembled from prepared parts, answers are not read beyond their heads.

pub mod scenario;
pub mod zipf;
pub mod schedule;
pub mod crowd;
mod pace;
mod wire;
mod shop;
mod seed;
mod outage;
mod drive;
mod measure;
mod machine;
mod settled;
pub mod slo;
pub mod knee;
pub mod report;
mod run;
mod temporary_shop;
pub mod table;
pub mod showing;
pub mod freshness;
mod catalogue;
mod hits;
mod hot;
pub mod monolith;
mod stampede;
pub mod orders;
pub mod benches;
pub mod lab;

use std::process::ExitCode;

use clap::Parser;
use operator::layout::Layout;
use souk::cli::{EXIT_USAGE, Load};
use souk::style::red;
use stores::Home;

pub use run::{Finished, run};

#[derive(Debug, clap::Parser)]
#[command(name = "load", about = "Put the shop under load and report how it bears it", version)]
struct Program {
    #[command(flatten)]
    load: Load,
}

/// The whole program. 0: done, and all promises and stated service levels were kept; 1: they were
/// not, or there was no shop to measure; 64: the command line makes no sense.
pub fn main() -> ExitCode {
    let Program { load } = match arguments() {
        Ok(program) => program,
        Err(code) => return code,
    };
    let here = Home::find().ok().map(|home| Layout::at(&home.run()));
    match run(&load, here.as_ref()) {
        Ok(Finished { failures, .. }) => {
            failures.iter().for_each(|line| eprintln!("{} {line}", red("error:")));
            if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{} {error:#}", red("error:"));
            ExitCode::FAILURE
        }
    }
}

/// What the command line says; else the exit code, after help or one message about what was wrong.
fn arguments<P: Parser>() -> Result<P, ExitCode> {
    P::try_parse().map_err(|error| {
        let _ = error.print(); // if it cannot be printed, nobody looks
        if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS }
    })
}

fn say(text: &str) {
    operator::speak::line(format_args!("{text}"));
}
