//! The configuration: `psp --help` is its reference.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use http::{Uri, uri::Scheme};

/// A simulator of an external payment service provider. It moves no real money.
#[derive(Debug, Parser)]
#[command(name = "psp", version, subcommand_negates_reqs = true)]
pub struct Cli {
    /// Folder of the ledger; made if it is missing.
    #[arg(long, env = "PSP_LEDGER_DIR", value_name = "DIR", required = true)]
    ledger_dir: Option<PathBuf>,
    #[command(flatten)]
    config: Config,
    /// What to do instead of serving.
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// What to do; None: to serve.
    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// How to serve.
    pub fn into_config(self) -> Config {
        Config { ledger_dir: self.ledger_dir.unwrap_or_default(), ..self.config } // clap demands it
    }
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a running process whether it is ready; exit code 0 or 1.
    Healthcheck {
        /// The address it listens on.
        #[arg(long, env = "PSP_LISTEN", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, env = "PSP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Folder of the ledger; made if it is missing.
    #[arg(skip)] // in Cli: only serving needs it
    pub ledger_dir: PathBuf,

    /// Where to POST webhooks, an http:// or https:// URL; none are sent without it.
    #[arg(long, env = "PSP_WEBHOOK_URL", value_name = "URL", value_parser = http_url, requires = "webhook_secret_file")]
    pub webhook_url: Option<Uri>,

    /// File with the secret that signs webhooks; white space at its end does not count.
    #[arg(long, env = "PSP_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,

    /// File with the certificates (PEM) of whom an https:// receiver of webhooks is trusted by.
    #[arg(long, env = "PSP_WEBHOOK_CA_FILE", value_name = "FILE", requires = "webhook_url")]
    pub webhook_ca_file: Option<PathBuf>,

    /// What to log, in the syntax of tracing's EnvFilter.
    #[arg(long, env = "PSP_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

impl Config {
    /// Any free port on loopback, no webhooks.
    pub fn new(ledger_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            ledger_dir: ledger_dir.into(),
            webhook_url: None,
            webhook_secret_file: None,
            webhook_ca_file: None,
            log: "info".to_owned(),
        }
    }
}

fn http_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    if !known || uri.host().is_none() {
        return Err("an http:// or https:// URL with a host is needed".to_owned());
    }
    Ok(uri)
}
