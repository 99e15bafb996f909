//! The connection to Redis, which nobody depends on: it is made when it is first used and again after whatever went wrong, no
//! command is waited for longer than its caller says, and that Redis does not answer is said once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult, TlsCertificates};
use secrecy::{ExposeSecret as _, SecretString};
use telemetry::catalogue::REDIS_UP;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Where Redis is.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Redis URL: redis://:password@host:port, or rediss://:password@host:port?sslrootcert=FILE; of a Redis that is shared with others,
    /// a database of its own (/1). Without it, copies share nothing but what is in PostgreSQL
    #[arg(long, env = "SOUK_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,
}

/// Redis does not answer, not in time, or not as it should. It was said already.
#[derive(Clone, Copy, Debug, Error)]
#[error("Redis does not answer")]
pub struct Unavailable;

/// A Redis, or nothing that answers. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    url: SecretString,
    /// None: to be made.
    connection: Mutex<Option<MultiplexedConnection>>,
    /// As it was said last.
    up: AtomicBool,
}

impl Redis {
    /// The one that is configured, if any. Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none, or the authority that it names cannot be read.
    pub fn new(options: &Options) -> anyhow::Result<Option<Self>> {
        let Some(url) = &options.redis_url else { return Ok(None) };
        client(url).context("the Redis URL")?;
        REDIS_UP.set(1);
        let (url, up) = (url.clone(), AtomicBool::new(true));
        Ok(Some(Self(Arc::new(Inner { url, connection: Mutex::default(), up }))))
    }

    /// Runs commands on the connection. After an error of any kind it is closed: whatever was wrong, the next one is a
    /// connection of its own, with the authority read anew.
    ///
    /// # Errors
    /// When there is no whole answer within this time.
    pub async fn run<T, F>(
        &self,
        within: Duration,
        commands: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let answer = async { anyhow::Ok(commands(self.connection().await?).await?) };
        let answer = timeout(within, answer).await;
        let error = match answer {
            Ok(Ok(answer)) => {
                self.note(None);
                return Ok(answer);
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {within:?}"),
        };
        *self.0.connection.lock().await = None;
        self.note(Some(&error));
        Err(Unavailable)
    }

    async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        let mut connection = self.0.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        // Whoever runs commands says for how long.
        let patient = AsyncConnectionConfig::new();
        let patient = patient.set_connection_timeout(None).set_response_timeout(None);
        let made =
            client(&self.0.url)?.get_multiplexed_async_connection_with_config(&patient).await?;
        Ok(connection.insert(made).clone())
    }

    fn note(&self, error: Option<&str>) {
        let was_up = self.0.up.swap(error.is_none(), Ordering::Relaxed);
        match error {
            Some(error) if was_up => tracing::warn!(error, "Redis does not answer: on without it"),
            None if !was_up => tracing::info!("Redis answers again"),
            _ => return,
        }
        REDIS_UP.set(i64::from(error.is_none()));
    }
}

/// `sslrootcert` names the authority that vouches for the server, as in PostgreSQL's URLs. Errors do not hold the URL, in which
/// there is a password.
fn client(url: &SecretString) -> anyhow::Result<Client> {
    let (server, query) = url.expose_secret().split_once('?').unwrap_or((url.expose_secret(), ""));
    let client = match query.split('&').find_map(|pair| pair.strip_prefix("sslrootcert=")) {
        Some(root) => {
            let root_cert = std::fs::read(root).with_context(|| format!("reading {root}"))?;
            let authority = TlsCertificates { client_tls: None, root_cert: Some(root_cert) };
            Client::build_with_tls(server, authority)
        }
        None => Client::open(url.expose_secret()),
    };
    client.map_err(|error| anyhow!("it makes no client: {:?}", error.kind()))
}
