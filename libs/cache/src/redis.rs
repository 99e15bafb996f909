//! The connection to Redis, which nobody depends on: it is made when it is first used and anew after whatever went wrong, no
//! command takes longer than its caller says, and an outage is logged once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, RedisResult,
    TlsCertificates,
};
use secrecy::{ExposeSecret as _, SecretString};
use telemetry::catalogue::REDIS_UP;
use thiserror::Error;
use tokio::time::timeout;

/// Where Redis is.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Redis URL: redis://user:password@host:port, or rediss://user:password@host:port?sslrootcert=FILE; of a Redis that is shared with others,
    /// a database of its own (/1). Without it, copies share nothing but what is in PostgreSQL
    #[arg(long, env = "SOUK_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<SecretString>,
}

/// Redis has not answered, not in time, or with an error. It was logged, if it was the first time.
#[derive(Clone, Copy, Debug, Error)]
#[error("Redis is unavailable")]
pub struct Unavailable;

/// A Redis for one purpose, or nothing that answers. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    url: SecretString,
    purpose: &'static str,
    connection: Mutex<Connection>,
    /// As it was logged last.
    up: AtomicBool,
}

/// None: to be made.
#[derive(Default)]
struct Connection {
    number: u64,
    open: Option<MultiplexedConnection>,
}

impl Redis {
    /// The one that is configured, if any. Nothing is sent yet. `purpose` is a label of `souk_redis_up`: what Redis refuses
    /// for one purpose (to write, say) it may grant for another.
    ///
    /// # Errors
    /// When the URL is none, or the authority that it names cannot be read.
    pub fn new(options: &Options, purpose: &'static str) -> anyhow::Result<Option<Self>> {
        let Some(url) = &options.redis_url else { return Ok(None) };
        client(url).context("the Redis URL")?;
        let (url, connection, up) = (url.clone(), Mutex::default(), AtomicBool::new(true));
        Ok(Some(Self(Arc::new(Inner { url, purpose, connection, up }))))
    }

    /// Runs commands on the connection, which is made when there is none. After an error of any kind it is closed: the next
    /// one may find another server, another password, another authority.
    ///
    /// # Errors
    /// When there is no good answer within this time.
    pub async fn run<T, F>(
        &self,
        within: Duration,
        commands: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, Unavailable>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut number = None;
        let answer = timeout(within, async {
            let (used, connection) = self.connection().await?;
            number = Some(used);
            anyhow::Ok(commands(connection).await?)
        });
        let error = match answer.await {
            Ok(Ok(answer)) => {
                self.note(None);
                return Ok(answer);
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {within:?}"),
        };
        let mut connection = self.locked();
        if number == Some(connection.number) {
            connection.open = None;
        }
        drop(connection);
        self.note(Some(&error));
        Err(Unavailable)
    }

    async fn connection(&self) -> anyhow::Result<(u64, MultiplexedConnection)> {
        let (number, open) = {
            let connection = self.locked();
            (connection.number, connection.open.clone())
        };
        if let Some(open) = open {
            return Ok((number, open));
        }
        // Whoever runs commands says for how long.
        let patient = AsyncConnectionConfig::new();
        let patient = patient.set_connection_timeout(None).set_response_timeout(None);
        let client = client(&self.0.url)?;
        let made = client.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut connection = self.locked();
        connection.number += 1;
        connection.open = Some(made.clone());
        Ok((connection.number, made))
    }

    fn note(&self, error: Option<&str>) {
        let (purpose, up) = (self.0.purpose, error.is_none());
        REDIS_UP.with_label_values(&[purpose]).set(i64::from(up));
        let was_up = self.0.up.swap(up, Ordering::Relaxed);
        match error {
            Some(error) if was_up => {
                tracing::warn!(purpose, error, "Redis is unavailable: going on without it");
            }
            None if !was_up => tracing::info!(purpose, "Redis is available again"),
            _ => {}
        }
    }

    fn locked(&self) -> MutexGuard<'_, Connection> {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner)
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
            info(server).and_then(|info| Client::build_with_tls(info, authority))
        }
        None => info(url.expose_secret()).and_then(Client::open),
    };
    client.map_err(|error| anyhow!("it makes no client: {:?}", error.kind()))
}

/// The library does not say its name and version (`CLIENT SETINFO`): users of Redis have no right to `CLIENT`.
fn info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_redis_settings(settings))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use redis::cmd;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(300);

    /// A server on a free port with one answer to all commands, which may be changed; without one it is silent.
    async fn server() -> (Redis, Arc<Mutex<Option<&'static str>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let redis_url = Some(format!("redis://{}", listener.local_addr().unwrap()).into());
        let answer = Arc::new(Mutex::new(None));
        let current = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let current = Arc::clone(&current);
                tokio::spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = client.read(&mut bytes).await {
                        let commands = bytes[..read].iter().filter(|byte| **byte == b'*').count();
                        let answer: Option<&str> = *current.lock().unwrap();
                        let answers = answer.unwrap_or_default().repeat(commands);
                        client.write_all(answers.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        (Redis::new(&Options { redis_url }, "test").unwrap().unwrap(), answer)
    }

    async fn ping(redis: &Redis) -> Result<String, Unavailable> {
        redis.run(WITHIN, |mut to| async move { cmd("PING").query_async(&mut to).await }).await
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Log {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn whatever_is_wrong_is_logged_once_and_over_when_it_is_over() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone());
        let _logging = tracing::subscriber::set_default(subscriber.finish());
        let (redis, answer) = server().await;
        let wrong = [
            None,
            Some("\u{1}\u{2}garbage\r\n"),
            Some("-OOM command not allowed when used memory > 'maxmemory'\r\n"),
            Some("-READONLY You can't write against a read only replica.\r\n"),
            Some("-NOAUTH Authentication required.\r\n"),
        ];
        for (outages, wrong) in wrong.into_iter().enumerate() {
            *answer.lock().unwrap() = Some("+PONG\r\n");
            assert_eq!(ping(&redis).await.unwrap(), "PONG");
            *answer.lock().unwrap() = wrong;
            for _ in 0..3 {
                ping(&redis).await.unwrap_err();
            }
            assert_eq!(REDIS_UP.with_label_values(&["test"]).get(), 0);
            let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert_eq!(log.matches("going on without it").count(), outages + 1, "{log}");
            assert_eq!(log.matches("available again").count(), outages, "{log}");
        }
        *answer.lock().unwrap() = Some("+PONG\r\n");
        ping(&redis).await.unwrap();
        assert_eq!(REDIS_UP.with_label_values(&["test"]).get(), 1);
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_password() {
        let authority = "rediss://:hidden@h:1?sslrootcert=/no/such/file";
        for bad in ["", "hidden", "http://:hidden@h", "redis://:hidden@", authority] {
            let options = Options { redis_url: Some(bad.into()) };
            let error = format!("{:#}", Redis::new(&options, "test").err().expect(bad));
            assert!(error.starts_with("the Redis URL") && !error.contains("hidden"), "{error}");
        }
        assert!(Redis::new(&Options::default(), "test").unwrap().is_none());
    }
}
