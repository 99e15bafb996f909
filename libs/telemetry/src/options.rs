//! What an operator can set. Values are checked while the command line is read, so that a bad one is a usage error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tonic::transport::Endpoint;
use tracing_subscriber::EnvFilter;

use crate::lines::Style;

/// Put before the operator's own filter, which wins: `SOUK_LOG=debug` shows our decisions, not HTTP/2 frames.
const QUIET: &str =
    "h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,rustls=warn,opentelemetry=warn";

const DEVELOPMENT: &str = "development";

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One flat JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Configuration of logs and traces; flattened into a process's command line.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// What is logged: a level, or `target=level` pairs separated by commas.
    #[arg(long = "log", env = "SOUK_LOG", value_name = "FILTER", default_value = "info", value_parser = checked_filter)]
    pub log: String,

    /// The shape of a log line; `auto` is pretty on a terminal and JSON otherwise.
    #[arg(long = "log-format", env = "SOUK_LOG_FORMAT", value_enum, default_value = "auto")]
    pub log_format: LogFormat,

    /// The share of traces recorded, 0 to 1, among requests that arrive without a decision.
    #[arg(long = "trace-ratio", env = "SOUK_TRACE_RATIO", value_name = "RATIO", default_value = "0.01",
          value_parser = checked_ratio)]
    pub trace_ratio: f64,

    /// Where spans go: an OTLP gRPC collector such as http://127.0.0.1:4317. Unset or empty: nowhere.
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL",
          value_parser = checked_endpoint)]
    pub otlp_endpoint: Option<String>,

    /// Where this process runs, for who reads its traces: `development`, `test`, `staging`, `production`.
    #[arg(long, env = "SOUK_ENVIRONMENT", value_name = "NAME", default_value = DEVELOPMENT)]
    pub environment: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            trace_ratio: 0.01,
            otlp_endpoint: None,
            environment: DEVELOPMENT.to_owned(),
        }
    }
}

impl Options {
    /// The collector's URL; an empty variable counts as none.
    pub(crate) fn collector(&self) -> Option<&str> {
        self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
    }

    pub(crate) fn log_filter(&self) -> anyhow::Result<EnvFilter> {
        filter(&self.log).with_context(|| format!("log filter {:?}", self.log))
    }

    /// Colour only where somebody looks and has not asked for none (<https://no-color.org>).
    pub(crate) fn log_style(&self) -> Style {
        let terminal = std::io::stdout().is_terminal();
        let pretty = Style::Pretty { colour: terminal && std::env::var_os("NO_COLOR").is_none() };
        match self.log_format {
            LogFormat::Json => Style::Json,
            LogFormat::Auto if !terminal => Style::Json,
            LogFormat::Auto | LogFormat::Pretty => pretty,
        }
    }
}

fn filter(directives: &str) -> anyhow::Result<EnvFilter> {
    Ok(EnvFilter::builder().parse(format!("{QUIET},{directives}"))?)
}

fn checked_filter(directives: &str) -> Result<String, String> {
    filter(directives).map(|_| directives.to_owned()).map_err(|error| format!("{error:#}"))
}

fn checked_ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err("must be from 0 to 1".to_owned()) }
}

fn checked_endpoint(text: &str) -> Result<String, String> {
    if !text.is_empty() {
        endpoint(text).map_err(|error| format!("{error:#}"))?;
    }
    Ok(text.to_owned())
}

/// Plain text only: a collector that is not on this machine or network is reached through one that is.
pub(crate) fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    let uri: http::Uri = url.parse().context("not a URL")?;
    anyhow::ensure!(uri.scheme_str() == Some("http"), "must begin with http://");
    anyhow::ensure!(uri.port().is_some(), "must name a port, such as :4317");
    Ok(Endpoint::from(uri))
}
