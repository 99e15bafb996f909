//! A small collector of traces, for one person at one machine: takes spans by OTLP over gRPC, keeps
//! the recent ones in memory, and answers `GET /traces`, `GET /traces/{trace_id}` and `GET /orders/{order_id}/trace` as JSON. Both on loopback.

mod keep;
mod receive;
mod search;
mod span;

pub use keep::Limits;
pub use search::{Query, Summary};
pub use span::{Kind, Link, Span, Trace};

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::extract::{Path, Query as Asked, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use keep::Kept;
use receive::Receiver;

/// One export may be larger than gRPC's own 4 MB under load.
const EXPORT_BYTES_MAX: usize = 16 << 20;

/// The collector; it ends when this is dropped.
#[derive(Debug)]
pub struct Collector {
    otlp: SocketAddr,
    http: SocketAddr,
    _stop: DropGuard,
}

impl Collector {
    /// Starts it on free ports.
    ///
    /// # Errors
    /// When there is no port on loopback.
    pub async fn start(limits: Limits) -> Result<Self> {
        let kept = Arc::new(Kept::new(limits));
        let stop = CancellationToken::new();
        let (otlp, listener) = listen().await?;
        let receiver = TraceServiceServer::new(Receiver::new(&kept))
            .max_decoding_message_size(EXPORT_BYTES_MAX);
        let serving = tonic::transport::Server::builder().add_service(receiver);
        let serving = serving.serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            stop.clone().cancelled_owned(),
        );
        tokio::spawn(serving);
        let (http, listener) = listen().await?;
        let routes = Router::new()
            .route("/traces", get(search))
            .route("/traces/{trace_id}", get(trace))
            .route("/orders/{order_id}/trace", get(trace_of))
            .layer(from_fn_with_state(http.to_string(), by_its_address))
            .with_state(kept);
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(
            async move { axum::serve(listener, routes).with_graceful_shutdown(stopped).await },
        );
        Ok(Self { otlp, http, _stop: stop.drop_guard() })
    }

    /// Where spans are taken: for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn otlp_url(&self) -> String {
        format!("http://{}", self.otlp)
    }

    /// Where traces are answered.
    pub fn traces_url(&self) -> String {
        format!("http://{}", self.http)
    }
}

async fn listen() -> Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.context("no port for the trace collector")?;
    Ok((listener.local_addr()?, listener))
}

/// Nobody else's page reads traces: to a name that was made to point here nothing is answered (DNS rebinding).
async fn by_its_address(
    State(address): State<String>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    if host != Some(address.as_bytes()) {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    Ok(next.run(request).await)
}

async fn search(State(kept): State<Arc<Kept>>, Asked(query): Asked<Query>) -> Json<Vec<Summary>> {
    Json(kept.find(&query))
}

async fn trace(
    State(kept): State<Arc<Kept>>,
    Path(trace_id): Path<String>,
) -> Result<Json<Trace>, StatusCode> {
    kept.trace(&trace_id).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn trace_of(
    State(kept): State<Arc<Kept>>,
    Path(order_id): Path<String>,
) -> Result<Json<Trace>, StatusCode> {
    kept.trace_of(&order_id).map(Json).ok_or(StatusCode::NOT_FOUND)
}

#[cfg(test)]
mod tests;
