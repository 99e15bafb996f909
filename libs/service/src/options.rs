//! What every process of the shop can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Configuration of the chassis; flattened into a process's command line.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Where the process serves; port 0 takes a free one.
    #[arg(long, env = "SOUK_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Where /livez, /readyz and /metrics are: HTTP on loopback, HTTPS anywhere else; not for the outside.
    #[arg(long, env = "SOUK_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub admin_listen: SocketAddr,

    /// How long to go on serving after a stop was asked for, while /readyz already says no and balancers turn away.
    #[arg(long, env = "SOUK_DRAIN_WAIT", value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub drain_wait: Duration,

    /// How long a stop may take, from the signal on; then the process exits with what is still unfinished.
    #[arg(long, env = "SOUK_STOP_LIMIT", value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    pub stop_limit: Duration,

    /// Worker threads; one per core by default.
    #[arg(long, env = "TOKIO_WORKER_THREADS", value_name = "NUMBER")]
    pub worker_threads: Option<NonZeroUsize>,
}

impl Default for Options {
    fn default() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any_port,
            admin_listen: any_port,
            drain_wait: Duration::ZERO,
            stop_limit: Duration::from_secs(20),
            worker_threads: None,
        }
    }
}

/// A process's configuration, as far as the chassis is concerned.
pub trait HasOptions {
    /// The chassis's part.
    fn service(&self) -> &Options;
    /// Logs and traces.
    fn telemetry(&self) -> &telemetry::Options;
}
