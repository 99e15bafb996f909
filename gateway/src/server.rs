//! HTTP for customers, on the connections of [`net`].

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::uri::Scheme;
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use net::{Acceptor, Connected, Listener, Timeouts, auto};
use rpc::Identity;
use service::Shutdown;
use telemetry::catalogue::{HTTP_SERVER_CONNECTIONS, HTTP_SERVER_HANDSHAKES_FAILED};
use tower::Service as _;

use crate::Config;

const HEAD_BYTES_MAX: usize = 32 * 1024;
const H2_STREAMS_MAX: u32 = 256;
const H2_KEEPALIVE: Duration = Duration::from_secs(20);
const H2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where customers come in: plain, and over TLS when that is wanted. The certificate is that of our calls; clients need
/// none.
///
/// # Errors
/// A port cannot be bound.
pub(crate) async fn listen(config: &Config, identity: &Identity) -> anyhow::Result<Vec<Listener>> {
    let tcp = service::bind(config.service.listen).await?;
    let mut listeners = vec![Listener { tcp, acceptor: Acceptor::Plain }];
    if let Some(address) = config.tls_listen {
        let (tcp, acceptor) = (service::bind(address).await?, identity.open_acceptor());
        listeners.push(Listener { tcp, acceptor });
    }
    Ok(listeners)
}

/// Serves until `shutdown` is requested and what was in progress then is finished or cut off.
pub(crate) async fn serve(
    listeners: Vec<Listener>,
    config: &Config,
    router: Router,
    shutdown: &Shutdown,
) {
    let options = net::Options {
        max_connections: config.max_connections,
        timeouts: Some(Timeouts { head: config.head_timeout, idle: config.idle_timeout }),
        handshake_failed: |error| {
            HTTP_SERVER_HANDSHAKES_FAILED.with_label_values(&[error.name()]).inc();
        },
        ..net::Options::default()
    };
    let stopping = Arc::new(shutdown.clone());
    let connected = move |client: Connected<'_>| {
        let scheme = if client.tls { Scheme::HTTPS } else { Scheme::HTTP };
        let (router, stopping, counted) = (router.clone(), Arc::clone(&stopping), Counted::new());
        Some(service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(scheme.clone());
            let _counted = &counted; // until the connection ends
            let (version, stopping) = (request.version(), Arc::clone(&stopping));
            let answer = router.clone().call(request.map(Body::new));
            answer.map(move |response| {
                response.map(|response| last_if_draining(&stopping, version, response))
            })
        }))
    };
    let server = net::Server::new(http(), options);
    server.serve(listeners, connected, shutdown.token()).await;
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // Without hyper's own limit for heads: it would be the limit of an idle connection too.
    http.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_KEEPALIVE)
        .keep_alive_timeout(H2_KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32);
    http
}

/// While we drain, every answer says that it is the connection's last: a client that hears it
/// goes elsewhere, and does not send its next request into a socket that is being closed.
fn last_if_draining(shutdown: &Shutdown, version: Version, mut response: Response) -> Response {
    const CLOSE: HeaderValue = HeaderValue::from_static("close");
    if shutdown.is_draining() && version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    response
}

struct Counted;

impl Counted {
    fn new() -> Self {
        HTTP_SERVER_CONNECTIONS.inc();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HTTP_SERVER_CONNECTIONS.dec();
    }
}
