//! A certificate authority, servers and callers for one test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::Authority;
use rpc::{Channel, Identity, ServerOptions, Targets};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::callee::Callee;

pub struct World {
    dir: TempDir,
    authority: Authority,
}

impl World {
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let authority = Authority::open_or_create(dir.path().join("ca")).expect("an authority");
        Self { dir, authority }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn issue(&self, name: &str, dir: &Path) {
        self.authority.issue(name, dir).expect("a certificate");
    }

    /// The identity of the process `name`.
    pub fn identity(&self, name: &str) -> Identity {
        let dir = self.path(name);
        self.issue(name, &dir);
        load(&dir)
    }

    /// A server that is called `product`, on a port of its own.
    pub async fn serve(&self, callee: Callee, options: ServerOptions) -> Server {
        self.serve_at("127.0.0.1:0".parse().expect("an address"), callee, options).await
    }

    pub async fn serve_at(&self, at: SocketAddr, callee: Callee, options: ServerOptions) -> Server {
        let listener = TcpListener::bind(at).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let serving = rpc::serve(
            listener,
            self.identity("product"),
            callee.routes(),
            options,
            shutdown.clone(),
        );
        let task = tokio::spawn(async { serving.await.expect("usable descriptors") });
        Server { address, shutdown, task }
    }

    /// A channel to `product` for the process `name`.
    pub fn channel(&self, name: &str, servers: &[SocketAddr]) -> Channel {
        rpc::connect("product", &targets(servers), &self.identity(name))
    }
}

pub fn load(dir: &Path) -> Identity {
    Identity::load(&rpc::tls::Options { tls_dir: dir.to_owned() }).expect("usable files")
}

pub fn targets(servers: &[SocketAddr]) -> Targets {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    servers.join(",").parse().expect("host:port")
}

pub struct Server {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Server {
    /// The end of its sockets without a word, as `kill -9` would have it.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Waits until `check` holds.
pub async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    testkit::eventually(what, Duration::from_secs(10), async || check().await.then_some(())).await;
}
