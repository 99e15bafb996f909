//! Where the bus is.

use std::time::Duration;

use secrecy::SecretString;

/// In milliseconds.
const BATCH_INTERVAL: u16 = 20;
/// In milliseconds. What has arrived waits as long, and the bus hears nothing of it meanwhile: a third of the time after which it
/// delivers again.
const BATCH_INTERVAL_MAX: i64 = 500;

/// NATS with JetStream.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// NATS URLs, separated by commas: nats://user:password@host:port, or tls://user:password@host:port?sslrootcert=FILE
    #[arg(long, env = "SOUK_NATS_URL", hide_env_values = true)]
    pub nats_url: SecretString,

    /// Minimum milliseconds between the starts of two batches of events; events that come meanwhile share a transaction
    #[arg(long, env = "SOUK_BATCH_INTERVAL_MS", default_value_t = BATCH_INTERVAL,
          value_parser = clap::value_parser!(u16).range(..=BATCH_INTERVAL_MAX))]
    pub batch_interval_ms: u16,
}

impl Options {
    /// This server.
    pub fn at(nats_url: impl Into<SecretString>) -> Self {
        Self { nats_url: nats_url.into(), batch_interval_ms: BATCH_INTERVAL }
    }

    /// Minimum time between the starts of two batches of a consumer, and of two turns of a relay. Events
    /// that arrive meanwhile share the next commit, which is cheaper (docs/performance.md). After an idle period a batch
    /// starts at once, so an event alone does not wait.
    pub(crate) fn batch_interval(&self) -> Duration {
        Duration::from_millis(self.batch_interval_ms.into())
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }

    fn interval(arguments: &[&str]) -> Result<Duration, String> {
        let program = ["order", "--nats-url", "nats://127.0.0.1:4222"];
        let parsed = Program::try_parse_from(program.iter().chain(arguments));
        parsed.map(|it| it.options.batch_interval()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_batch_interval_is_twenty_milliseconds_unless_said_otherwise() {
        assert_eq!(interval(&[]), Ok(Duration::from_millis(20)));
        assert_eq!(interval(&["--batch-interval-ms", "0"]), Ok(Duration::ZERO));
        for wrong in ["501", "x", "20ms"] {
            let refusal = interval(&["--batch-interval-ms", wrong]).unwrap_err();
            assert!(refusal.contains("--batch-interval-ms"), "{refusal}");
        }
    }
}
