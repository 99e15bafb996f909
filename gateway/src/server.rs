//! Connections: accepted, watched, and brought to an end that is bounded whatever the clients do.
//!
//! Not axum's `serve`, which lets a client take for ever over the head of a request, and waits
//! for ever for a connection that never sent a byte.

mod activity;
mod watched;

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::{HeaderValue, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use service::Shutdown;
use telemetry::metrics::gauge;
use telemetry::metrics::prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::Service as _;

use crate::Config;
use activity::{Activity, Patience};
use watched::Watched;

/// How long requests in progress may take to finish once the end has begun.
const DRAIN_MAX: Duration = Duration::from_secs(12);
/// In that time, a connection that has not asked for anything gets this long.
const SILENCE_MAX: Duration = Duration::from_secs(1);
const HEAD_BYTES_MAX: usize = 32 * 1024;
const H2_STREAMS_MAX: u32 = 256;
const H2_KEEPALIVE: Duration = Duration::from_secs(20);
const H2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static CONNECTIONS: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("souk_http_server_connections", "Connections of clients."));

/// The HTTP server.
pub(crate) struct Server {
    router: Router,
    http: auto::Builder<TokioExecutor>,
    patience: Patience,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Server {
    pub(crate) fn new(config: &Config, router: Router, shutdown: &Shutdown) -> Self {
        Self {
            router,
            http: http(),
            patience: Patience { head: config.head_timeout, idle: config.idle_timeout },
            places: Arc::new(Semaphore::new(config.max_connections)),
            shutdown: shutdown.clone(),
        }
    }

    /// Serves until it is stopped: then nothing more is accepted, requests in progress finish,
    /// and what has not finished in time is cut off.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        server.accept(&listener, &mut connections).await;
        drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(DRAIN_MAX, finished).await.is_err() {
            tracing::warn!(left = connections.len(), "cutting connections that did not drain");
            connections.shutdown().await;
        }
    }

    /// Accepts until the stop. When there are too many connections, others wait in the backlog.
    async fn accept(self: &Arc<Self>, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let next = || async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            (listener.accept().await, place)
        };
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.requested() => return,
                Some(_) = connections.join_next() => {}
                accepted = next() => match accepted {
                    (Ok((tcp, _)), Ok(place)) => {
                        connections.spawn(Arc::clone(self).connection(tcp, place));
                    }
                    (Err(error), _) => accept_failed(&error).await,
                    (_, Err(_closed)) => return,
                },
            }
        }
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream, _place: OwnedSemaphorePermit) {
        let _ = tcp.set_nodelay(true); // a matter of speed only
        let _counted = Counted::new();
        let activity = Arc::new(Activity::new());
        let service = service_fn(|request: http::Request<Incoming>| {
            let (version, asked) = (request.version(), activity.asked(request.version()));
            let answer = self.router.clone().call(request.map(Body::new));
            let server = Arc::clone(&self);
            answer.map(move |response| {
                drop(asked);
                response.map(|response| server.last_if_draining(version, response))
            })
        });
        let io = TokioIo::new(Watched::new(tcp, Arc::clone(&activity)));
        let mut connection = std::pin::pin!(self.http.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = overdue(&activity, self.patience) => return,
            () = self.shutdown.requested() => {}
        }
        if !activity.has_asked() {
            // A first request may be on its way. Told to stop now, hyper would not read it, and
            // told later, it would wait for it for ever.
            tokio::select! {
                ended = connection.as_mut() => return log_end(ended),
                () = sleep(SILENCE_MAX) => {}
            }
        }
        if activity.has_asked() {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => log_end(ended),
                () = overdue(&activity, self.patience) => {}
            }
        }
    }

    /// While we drain, every answer says that it is the connection's last: a client that hears it
    /// goes elsewhere, and does not send its next request into a socket that is being closed.
    fn last_if_draining(&self, version: Version, mut response: Response) -> Response {
        const CLOSE: HeaderValue = HeaderValue::from_static("close");
        if self.shutdown.is_draining() && version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        response
    }
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

/// Returns when the client has kept us waiting too long.
async fn overdue(activity: &Activity, patience: Patience) {
    while let Some(until) = activity.patient_until(Instant::now(), patience) {
        sleep_until(until).await;
    }
    tracing::debug!("a client kept us waiting too long");
}

/// Out of file descriptors or memory: connections that end make room, a loop that spins does not.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(ACCEPT_PAUSE).await;
}

fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error = &*error as &dyn std::error::Error, "a connection broke off");
    }
}

struct Counted;

impl Counted {
    fn new() -> Self {
        CONNECTIONS.inc();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        CONNECTIONS.dec();
    }
}
