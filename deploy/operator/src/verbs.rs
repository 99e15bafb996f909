//! From the command line to the verb.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use souk::cli::{Cli, Verb};
use souk::style::red;
use stores::Home;

use crate::{detached, down, events_of, faults, import, logs, order, sqlx, status, trace_of, up};

/// The whole program: what it is asked to do, and its exit code.
pub fn main() -> ExitCode {
    raise_open_files();
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", red("error:"));
            ExitCode::FAILURE
        }
    }
}

/// The stores and the services inherit it. A login shell gives 1,024 files by default.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }); // refused: as it was
}

fn run() -> Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some(detached::VERB) {
        supervise()?;
        return Ok(ExitCode::SUCCESS);
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return Ok(code),
    };
    let home = Home::find()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(verb(&home, &cli.verb))
}

async fn verb(home: &Home, verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Up(options) => up::run(home, options).await?,
        Verb::Down(options) => down::run(home, options)?,
        Verb::Status => status::run(home).await?,
        Verb::Logs(options) => logs::run(home, options)?,
        Verb::Order(options) => order::run(home, options).await?,
        Verb::Trace(options) => trace_of::run(home, options).await?,
        Verb::Import(options) => import::run(home, &options.file).await?,
        Verb::Outbox(passed) => return events_of::run(home, "outbox", &passed.arguments),
        Verb::DeadLetters(passed) => {
            return events_of::run(home, "dead-letters", &passed.arguments);
        }
        Verb::Fault(options) => faults::run(home, options).await?,
        Verb::Sqlx(options) => sqlx::run(home, options.check)?,
        Verb::Load(_)
        | Verb::Chaos(_)
        | Verb::Bench(_)
        | Verb::Lab(_)
        | Verb::Test(_)
        | Verb::Doctor
        | Verb::Fetch(_)
        | Verb::Images(_) => {
            anyhow::bail!("this verb needs no operator: cargo souk does it by itself")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The supervisor is given the options of `up`, already checked.
fn supervise() -> Result<()> {
    let arguments = std::env::args_os().skip(2);
    let given = ["cargo-souk".into(), "up".into()].into_iter().chain(arguments);
    let Cli { verb: Verb::Up(up) } = Cli::try_parse_from(given)? else {
        anyhow::bail!("a supervisor takes the options of up");
    };
    // One thread does it: the supervisor is a small neighbour.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(up::supervise(&Home::find()?, &up))
}
