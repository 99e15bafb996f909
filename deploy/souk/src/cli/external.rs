//! Options about stores that already run.

use clap::Args;
use stores::Server;

/// Stores that somebody runs already; the others are started here.
#[derive(Debug, Clone, Default, Args)]
pub struct StoreUrls {
    /// A PostgreSQL that already runs: postgres://user:password@host:port/database of a superuser
    #[arg(long, value_name = "URL", env = "SOUK_POSTGRES_URL", hide_env_values = true)]
    pub postgres_url: Option<String>,
    /// A Redis that already runs: redis://:password@host:port
    #[arg(long, value_name = "URL", env = "SOUK_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// A NATS with JetStream that already runs: nats://user:password@host:port
    #[arg(long, value_name = "URL", env = "SOUK_NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,
}

impl StoreUrls {
    /// Not done by clap, whose message would repeat the URL with its password.
    pub(super) fn check(&self) -> Result<(), String> {
        let urls = [&self.postgres_url, &self.redis_url, &self.nats_url];
        for (server, url) in Server::ALL.into_iter().zip(urls) {
            let checked = url.as_ref().map_or(Ok(()), |url| stores::check_url(server, url));
            checked.map_err(|error| format!("error: --{}-url: {error}", server.key()))?;
        }
        Ok(())
    }
}

impl From<&StoreUrls> for stores::Options {
    fn from(urls: &StoreUrls) -> stores::Options {
        let StoreUrls { postgres_url, redis_url, nats_url } = urls.clone();
        stores::Options { postgres_url, redis_url, nats_url, ..stores::Options::default() }
    }
}
