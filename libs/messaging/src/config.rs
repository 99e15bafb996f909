//! Where the bus is.

use secrecy::SecretString;

/// NATS with JetStream.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// NATS URLs, separated by commas: nats://user:password@host:port
    #[arg(long, env = "SOUK_NATS_URL", hide_env_values = true)]
    pub nats_url: SecretString,

    /// Copies of each stream in a NATS cluster
    #[arg(long, env = "SOUK_NATS_REPLICAS", default_value = "1")]
    pub nats_replicas: usize,
}
