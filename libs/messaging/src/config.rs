//! Where the bus is.

use secrecy::SecretString;

/// NATS with JetStream.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// NATS URLs, separated by commas: nats://user:password@host:port, or tls://user:password@host:port?sslrootcert=FILE
    #[arg(long, env = "SOUK_NATS_URL", hide_env_values = true)]
    pub nats_url: SecretString,
}

impl Options {
    /// This server.
    pub fn at(nats_url: impl Into<SecretString>) -> Self {
        Self { nats_url: nats_url.into() }
    }
}

/// About a million events.
const STREAM_MAX_BYTES: i64 = 1 << 30;

/// How streams are configured; the provisioner's business alone.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct ProvisionerOptions {
    /// Copies of each stream in a NATS cluster
    #[arg(long, env = "SOUK_NATS_REPLICAS", default_value = "1")]
    pub nats_replicas: usize,

    /// How many bytes each stream may hold. What every consumer has acknowledged goes before it is full
    #[arg(long, env = "SOUK_NATS_STREAM_MAX_BYTES", default_value_t = STREAM_MAX_BYTES,
          value_parser = clap::value_parser!(i64).range(1..))]
    pub nats_stream_max_bytes: i64,
}

impl Default for ProvisionerOptions {
    fn default() -> Self {
        Self { nats_replicas: 1, nats_stream_max_bytes: STREAM_MAX_BYTES }
    }
}
