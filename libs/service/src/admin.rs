//! The admin port: `/livez` (the runtime answers), `/readyz` (send traffic here, or 503 with what is missing) and
//! `/metrics`. A listener of its own, so that probes are answered while the service sheds load, and nothing of this
//! is reachable where customers are.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::{Health, Options, Tasks, bind};

const CONNECTIONS_MAX: usize = 64;
/// For the head of a request, and between two requests.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Binds the admin port and serves it until the other tasks have finished. The process is not ready yet.
///
/// # Errors
/// The address cannot be bound.
pub async fn start(options: &Options, tasks: &Tasks) -> anyhow::Result<Health> {
    let listener = bind(options.admin_listen).await.context("admin port")?;
    let health = Health::new(tasks.shutdown());
    tasks.beside("admin", serve(listener, health.clone()));
    Ok(health)
}

/// Serves the admin port on `listener` for as long as it is polled.
///
/// # Errors
/// None at present; the type is that of a background task.
pub async fn serve(listener: TcpListener, health: Health) -> anyhow::Result<()> {
    let routes = routes(health);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, routes.clone(), place))),
            Err(error) => {
                // Out of descriptors, most likely: those who have some will return them.
                tracing::warn!(%error, "the admin port cannot accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Not axum's own `serve`: it has no limit for slow headers.
async fn connection(stream: TcpStream, routes: Router, _place: OwnedSemaphorePermit) {
    let service = TowerToHyperService::new(routes);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection to the admin port ended badly");
    }
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
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::metrics::render())
}
