//! The compose file for real, in the order in which Compose creates and starts: our images are built by the
//! last stage of `deploy/docker/Dockerfile`, those of others have stand-ins with the owners and modes of the
//! real ones, since no registry is asked for any. The engine is started for this alone and leaves nothing.
//!
//! Part of `cargo souk test --all`. Exit code 0: orders were confirmed after every `up`, and every container
//! drained; 1: not; [`SKIPPED`]: no engine can be had here, and the last line says why.

mod compose;
mod namespace;
mod engine;
mod image;
mod standin;
mod container;
mod project;
mod story;

use std::process::ExitCode;

use anyhow::Result;
use stores::Home;

use namespace::Entered;

/// The exit code for "cannot be run on this machine", as test harnesses have it.
pub const SKIPPED: u8 = 77;

/// The whole program.
pub fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("containers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let home = Home::find()?;
    match namespace::enter(&home)? {
        Entered::Not(reason) => {
            println!("{reason}");
            Ok(ExitCode::from(SKIPPED))
        }
        Entered::Was(code) => Ok(code),
        Entered::Inside(place) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(story::tell(&home, &place))
        }
    }
}
