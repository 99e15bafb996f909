//! Connections: accepted, served with keep-alive, and drained when the process is to stop.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow};
use axum::{Router, body::Body, response::Response};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    api::{self, App, HangUp},
    behaviour::Dials,
    config::Config,
    ledger::{Ledger, Writer},
    webhook::{Target, Webhooks},
};

const CONNECTIONS_MAX: usize = 4096;
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// Timeout of a request's head, idle time included.
const HEAD_WITHIN: Duration = Duration::from_secs(120);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound process: the ledger is read back, the port is taken, nothing is served yet.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    app: App,
    writer: Writer,
    webhooks: Option<Webhooks>,
    finish_webhooks: CancellationToken,
}

impl Server {
    /// Reads the ledger back and takes the port.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let target = Target::from_config(&config)?;
        let (ledger, writer) = Ledger::open(&config.ledger_dir)?;
        let dials = Arc::new(Dials::default());
        let finish_webhooks = CancellationToken::new();
        let webhooks = target.map(|target| {
            Webhooks::new(target, Arc::clone(&ledger), Arc::clone(&dials), finish_webhooks.clone())
        });
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listening on {}", config.listen))?;
        let local_addr = listener.local_addr()?;
        let app = App { ledger, dials, stopping: CancellationToken::new() };
        Ok(Self { listener, local_addr, app, writer, webhooks, finish_webhooks })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then drains for at most 5 s. An error: the ledger can no longer be written.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let Server { listener, local_addr, app, writer, webhooks, finish_webhooks } = self;
        let mut writer = tokio::spawn(writer.run());
        let mut deliveries = JoinSet::new();
        webhooks.map(|webhooks| deliveries.spawn(webhooks.run()));
        let mut connections = Connections::new(&app);
        tracing::info!(address = %local_addr, "listening");
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            () = connections.accept(listener) => Ok(()),
            result = &mut writer => Err(writer_error(result)),
        };
        let deadline = Instant::now() + DRAIN_WITHIN;
        app.stopping.cancel();
        connections.drain(deadline).await;
        app.ledger.close();
        if ended.is_ok() {
            writer.await?.context("writing the ledger")?;
        }
        finish_webhooks.cancel();
        if timeout_at(deadline, deliveries.join_next()).await.is_err() {
            tracing::warn!("stopping with webhooks undelivered");
        }
        deliveries.shutdown().await;
        ended
    }
}

fn writer_error(result: Result<io::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match result {
        Ok(Ok(())) => anyhow!("the ledger's writer ended"),
        Ok(Err(error)) => anyhow::Error::new(error).context("writing the ledger"),
        Err(error) => anyhow::Error::new(error).context("the ledger's writer"),
    }
}

/// The connections that are open.
struct Connections {
    router: Router,
    stopping: CancellationToken,
    open: JoinSet<()>,
}

impl Connections {
    fn new(app: &App) -> Self {
        Self {
            router: api::router(app.clone()),
            stopping: app.stopping.clone(),
            open: JoinSet::new(),
        }
    }

    /// Accepts for ever, a bounded number at a time.
    async fn accept(&mut self, listener: TcpListener) {
        loop {
            while self.open.try_join_next().is_some() {}
            if self.open.len() >= CONNECTIONS_MAX {
                self.open.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.open.spawn(serve_connection(
                        stream,
                        self.router.clone(),
                        self.stopping.clone(),
                    ));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets requests in flight finish until `deadline`, then closes what is left.
    async fn drain(mut self, deadline: Instant) {
        let all = async { while self.open.join_next().await.is_some() {} };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(
                connections = self.open.len(),
                "closing connections that did not end in time"
            );
        }
        self.open.shutdown().await;
    }
}

/// A response that is not to be sent.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up on purpose")
    }
}

impl std::error::Error for HungUp {}

async fn serve_connection(stream: TcpStream, router: Router, stopping: CancellationToken) {
    let _ = stream.set_nodelay(true); // only a matter of speed
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        respond(router.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            if !asked.load(Ordering::Relaxed) {
                return; // hyper's graceful shutdown waits for a first request, which a probe never sends
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn respond(router: Router, request: Request<Incoming>) -> Result<Response<Body>, HungUp> {
    let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    match response.extensions().get::<HangUp>() {
        Some(HangUp) => Err(HungUp),
        None => Ok(response),
    }
}
