//! The process: its settings, its log, its signals.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use operator::signals::Signals;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::Config;
use crate::server::Server;

const EXIT_USAGE: u8 = 64;

/// The whole program. 0: it was asked to stop; 64: its settings make no sense; 1: anything else.
pub fn main() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) => return usage(&error),
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints help or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print(); // nobody is left to tell
    if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
}

/// Two threads: a long audit on one of them holds no request up.
fn serve(config: Config) -> anyhow::Result<()> {
    log(&config.log)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build()?.block_on(async {
        let mut signals = Signals::catch()?;
        let shutdown = async move {
            let signal = signals.next().await;
            tracing::info!(signal, "stopping");
        };
        Server::bind(&config).await?.serve(shutdown).await
    })
}

fn log(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log filter {filter:?}"))?;
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
    Ok(())
}
