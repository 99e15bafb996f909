//! The admin port: `/livez` (the runtime answers), `/readyz` (send traffic here, or 503 with what is missing) and
//! `/metrics`. A listener of its own, so that probes are answered while the service sheds load, and nothing of this
//! is reachable where customers are.
//!
//! On loopback it is plain HTTP. Everywhere else it speaks TLS, and there is no switch: what leaves the machine is
//! encrypted. Clients need no certificate, because the kubelet has none.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::service::TowerToHyperService;
use net::{Acceptor, ConfigSource, Connected, Listener, Server, auto};
use tokio_util::sync::CancellationToken;

use crate::{Health, Options, Tasks, bind};

const CONNECTIONS_MAX: usize = 64;
/// For the head of a request, and between two requests.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Binds the admin port and serves it until the other tasks have finished; with `tls` where it leaves the machine. The
/// process is not ready yet.
///
/// # Errors
/// The address cannot be bound.
pub async fn start(options: &Options, tasks: &Tasks, tls: ConfigSource) -> anyhow::Result<Health> {
    let address = options.admin_listen;
    let tcp = bind(address).await.context("admin port")?;
    let acceptor = if is_encrypted(address) { Acceptor::Tls(tls) } else { Acceptor::Plain };
    let health = Health::new(tasks.shutdown());
    tasks.beside("admin", serve(Listener { tcp, acceptor }, health.clone()));
    Ok(health)
}

/// Whether an admin port at `address` leaves the machine, and so speaks TLS.
pub(crate) fn is_encrypted(address: SocketAddr) -> bool {
    !address.ip().is_loopback()
}

async fn serve(listener: Listener, health: Health) -> anyhow::Result<()> {
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_MAX);
    let options = net::Options { max_connections: CONNECTIONS_MAX, ..net::Options::default() };
    let routes = TowerToHyperService::new(routes(health));
    let connected = move |_: Connected<'_>| Some(routes.clone());
    let for_ever = CancellationToken::new();
    Server::new(http, options).serve(vec![listener], connected, for_ever).await;
    Ok(())
}

fn routes(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    let failing = health.failing().await;
    if failing.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = failing.iter().map(|(name, reason)| format!("{name}: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn metrics() -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render_metrics())
}
