//! A service that runs in the test's process, as its `main` would run it.

use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use service::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::{ACQUIRE_MS, World, eventually};

const READY_MAX: Duration = Duration::from_secs(30);

/// A service with its arguments.
pub struct Builder<'a> {
    world: &'a World,
    name: &'static str,
    arguments: Vec<String>,
}

impl World {
    /// A service to be started with the arguments that every service takes.
    pub fn service(&self, name: &'static str) -> Builder<'_> {
        Builder::new(self, name)
    }
}

impl<'a> Builder<'a> {
    fn new(world: &'a World, name: &'static str) -> Self {
        Self { world, name, arguments: Vec::new() }.path("--tls-dir", &world.tls_dir(name))
    }

    /// One more argument.
    pub fn arg(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.push(format!("{name}={}", value.to_string()));
        self
    }

    fn path(self, name: &str, value: &Path) -> Self {
        self.arg(name, value.display())
    }

    /// New databases, one for each shard.
    pub fn shards(self, shards: usize) -> Self {
        let urls = self.world.databases(self.name, shards);
        self.databases(&urls)
    }

    /// These databases.
    pub fn databases(self, urls: &[String]) -> Self {
        self.arg("--database-urls", urls.join(",")).arg("--database-acquire-ms", ACQUIRE_MS)
    }

    /// The test's bus.
    pub fn nats(self) -> Self {
        let url = self.world.bus_url(self.name);
        self.arg("--nats-url", url)
    }

    /// Checks access tokens, and whether their sign-ins were ended.
    pub fn tokens(self) -> Self {
        let (key, redis) = (self.world.token_key(), self.world.redis_url_of(self.name));
        self.path("--token-key", &key).arg("--redis-url", redis)
    }

    /// Runs it on free ports and waits until it is ready.
    pub async fn start<C, R>(self, run: impl FnOnce(C, Shutdown) -> R + Send + 'static) -> Running
    where
        C: clap::Args + Send + 'static,
        R: Future<Output = anyhow::Result<()>>,
    {
        let (listen, admin) = (reserve(), reserve());
        let this = self.arg("--listen", listen).arg("--admin-listen", admin);
        let config = parse::<C>(this.name, &this.arguments);
        let (shutdown, killed) = (Shutdown::new(), CancellationToken::new());
        let (stop, kill) = (shutdown.clone(), killed.clone());
        let thread = thread::spawn(move || on_a_runtime(run(config, stop), &kill));
        let running = Running {
            name: this.name,
            address: listen,
            admin,
            shutdown,
            killed,
            thread: Some(thread),
        };
        running.ready().await;
        running
    }
}

/// As the chassis does: a runtime of its own, so that killing it kills whatever it started.
fn on_a_runtime(
    run: impl Future<Output = anyhow::Result<()>>,
    killed: &CancellationToken,
) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async { killed.run_until_cancelled(run).await });
    runtime.shutdown_background();
    ended.unwrap_or(Ok(()))
}

fn reserve() -> SocketAddr {
    service::reserve().expect("a free port")
}

fn parse<C: clap::Args>(name: &'static str, arguments: &[String]) -> C {
    let command = C::augment_args(clap::Command::new(name)).no_binary_name(true);
    let matches = command.try_get_matches_from(arguments);
    C::from_arg_matches(&matches.unwrap_or_else(|error| panic!("{error}"))).expect("arguments")
}

/// A running service. Dropped, it is asked to stop.
pub struct Running {
    name: &'static str,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where `/readyz` and `/metrics` are.
    pub admin: SocketAddr,
    shutdown: Shutdown,
    killed: CancellationToken,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Running {
    async fn ready(&self) {
        let ready = eventually(self.name, READY_MAX, async || {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                return Some(false);
            }
            http_ok(self.admin).await.then_some(true)
        });
        assert!(ready.await, "{} ended before it was ready", self.name);
    }

    /// Stops it as SIGTERM would, and waits. Panics when it ends badly.
    pub async fn stop(mut self) {
        self.shutdown.request();
        self.join().await;
    }

    /// Ends it at once, in the middle of whatever it does.
    pub async fn kill(mut self) {
        self.killed.cancel();
        self.join().await;
    }

    async fn join(&mut self) {
        let thread = self.thread.take().expect("joined once");
        let ended = tokio::task::spawn_blocking(|| thread.join()).await.expect("no panic");
        let ended = ended.expect("no panic");
        ended.unwrap_or_else(|error| panic!("{}: {error:#}", self.name));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

async fn http_ok(admin: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    ask.await.is_ok_and(|answer| answer.starts_with("HTTP/1.0 200"))
}
