//! The serving side: connections in, calls through the [stack](stack), and an end that is
//! bounded whatever the clients do.

mod socket;
mod meter;
mod stack;
mod stream;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::{Identity, Peer, method, metrics};
use socket::Socket;
use stack::Stack;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKES_MAX: usize = 256;
/// After the end was announced, a connection that has not said a word gets this long.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// HTTP/2 keepalive is what finds a dead client; the socket's own would only repeat it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 streams that a connection has beside those that are admitted: a call beyond the limits comes through, and
/// is refused at once. Were there fewer, live streams could take all of a connection, and calls would wait
/// behind them at the client.
const STREAMS_REFUSED_MAX: usize = 512;
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// What a server allows. Every limit that is hit answers at once, none lets calls queue.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The full names of the services in the routes (`XServer::<()>::NAME`): what reflection
    /// lists and health knows. Empty: everything in `descriptors`.
    pub services: &'static [&'static str],
    /// An encoded `FileDescriptorSet` with at least the services in the routes.
    pub descriptors: &'static [u8],
    /// What `grpc.health.v1` answers.
    pub health: Health,
    /// Unary calls and uploads in progress, work they left behind included.
    pub max_in_flight: usize,
    /// Streams being answered.
    pub max_streams: usize,
    /// The longest that a unary call may take, whatever its caller asks for.
    pub max_deadline: Duration,
    /// How long calls in progress may take to finish once the shutdown began.
    pub max_drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            services: &[],
            descriptors: proto::rpc::DESCRIPTORS,
            health: Health::default(),
            max_in_flight: 512,
            max_streams: 1024,
            max_deadline: Duration::from_secs(10),
            max_drain: Duration::from_secs(12),
        }
    }
}

/// What `grpc.health.v1` answers: SERVING until told otherwise, and NOT_SERVING from the
/// beginning of the shutdown. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Health(HealthReporter);

impl Health {
    /// Announces whether the process as a whole (the empty service name) serves.
    pub async fn serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.0.set_service_status("", status).await;
    }

    async fn announce(&self, services: &[&str], status: ServingStatus) {
        for service in services {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `ServerOptions::descriptors` is not an encoded `FileDescriptorSet`.
    #[error("the descriptors cannot be decoded")]
    Descriptors(#[from] prost::DecodeError),
    /// The descriptors do not fit together.
    #[error("the descriptors cannot be reflected")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves `routes`, health and reflection on `listener` until `shutdown`, then stops accepting,
/// lets calls in progress finish within `options.max_drain`, ends streams, and returns.
///
/// # Errors
/// Only before the first connection, when the descriptors are unusable.
pub async fn serve(
    listener: TcpListener,
    identity: Identity,
    routes: Routes,
    options: ServerOptions,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let health = options.health.clone();
    let services = options.services;
    health.announce(services, ServingStatus::Serving).await;
    let routes = with_standard_services(routes, &options)?;
    let (drain, http) = (options.max_drain, http(&options));
    let stack = Arc::new(Stack::new(routes, options, shutdown.clone())?);
    let server = Arc::new(Server { identity, stack, http, shutdown: shutdown.clone() });

    let mut connections = JoinSet::new();
    server.accept(&listener, &mut connections).await;
    drop(listener);
    health.serving(false).await;
    health.announce(services, ServingStatus::NotServing).await;

    if timeout(drain, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(left = connections.len(), "closing connections that did not drain in time");
        connections.shutdown().await;
    }
    Ok(())
}

fn with_standard_services(routes: Routes, options: &ServerOptions) -> Result<Routes, Error> {
    let health = HealthService::from_health_reporter(options.health.0.clone());
    Ok(routes
        .add_service(HealthServer::new(health))
        .add_service(reflection(options).build_v1()?)
        .add_service(reflection(options).build_v1alpha()?))
}

/// What is told of the server's services, whichever version asks.
fn reflection(options: &ServerOptions) -> tonic_reflection::server::Builder<'_> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(options.descriptors)
        .register_encoded_file_descriptor_set(method::HEALTH);
    if options.services.is_empty() {
        return builder;
    }
    let names = options.services.iter().copied().chain(["grpc.health.v1.Health"]);
    names.fold(builder, tonic_reflection::server::Builder::with_service_name)
}

fn http(options: &ServerOptions) -> http2::Builder<TokioExecutor> {
    let streams = options.max_in_flight + options.max_streams + STREAMS_REFUSED_MAX;
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .auto_date_header(false);
    http
}

struct Server {
    identity: Identity,
    stack: Arc<Stack>,
    http: http2::Builder<TokioExecutor>,
    shutdown: CancellationToken,
}

impl Server {
    /// Accepts until the shutdown. Handshakes run in tasks of their own, so that a client that
    /// stays silent holds up nobody; when too many are at it, the others wait in the backlog.
    async fn accept(self: &Arc<Self>, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let next = || async {
            let permit = Arc::clone(&handshakes).acquire_owned().await;
            (listener.accept().await, permit)
        };
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                Some(_) = connections.join_next() => {}
                (accepted, permit) = next() => match (accepted, permit) {
                    (Ok((tcp, _)), Ok(permit)) => {
                        connections.spawn(Arc::clone(self).connection(tcp, permit));
                    }
                    (Err(error), _) => accept_failed(&error).await,
                    (_, Err(_closed)) => return,
                },
            }
        }
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream, handshaking: OwnedSemaphorePermit) {
        if tcp.set_nodelay(true).is_err() {
            return;
        }
        let (socket, remains) = Socket::new(tcp);
        let Some((tls, peer)) = self.handshake(socket).await else { return };
        drop(handshaking);
        self.converse(tls, peer).await;
        remains.drain().await;
    }

    async fn converse(&self, tls: TlsStream<Socket>, peer: Peer) {
        let spoke = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (stack, spoke) = (Arc::clone(&self.stack), Arc::clone(&spoke));
            move |request| {
                spoke.store(true, Ordering::Relaxed);
                Arc::clone(&stack).answer(peer.clone(), request).map(Ok::<_, Infallible>)
            }
        });
        let mut connection = std::pin::pin!(self.http.serve_connection(TokioIo::new(tls), service));
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = self.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // hyper waits for ever for the first byte of a connection that it should close.
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = sleep(SILENCE_MAX) => {}
        }
        if spoke.load(Ordering::Relaxed) {
            log_end(connection.await);
        }
    }

    async fn shutdown_and(&self, more: Duration) {
        self.shutdown.cancelled().await;
        sleep(more).await;
    }

    async fn handshake(&self, socket: Socket) -> Option<(TlsStream<Socket>, Peer)> {
        let outcome = |outcome| metrics::HANDSHAKES.with_label_values(&[outcome]).inc();
        let accept = TlsAcceptor::from(self.identity.server()).accept(socket);
        // With TLS 1.3 the client may have sent its first calls before we are done here, so a
        // handshake that has begun is brought to its end and the client told goodbye in HTTP.
        let tls = tokio::select! {
            accepted = timeout(HANDSHAKE_TIMEOUT, accept) => accepted,
            () = self.shutdown_and(SILENCE_MAX) => return None,
        };
        let Ok(Ok(tls)) = tls.inspect_err(|_| outcome("timeout")) else {
            outcome("failed");
            return None;
        };
        let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let Some(peer) = certificate.and_then(Peer::from_verified) else {
            outcome("nameless");
            return None;
        };
        outcome("ok");
        Some((tls, peer))
    }
}

/// Out of file descriptors or memory: connections that end make room, a loop that spins does not.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(Duration::from_millis(50)).await;
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(error = %crate::status::Chain(&error), "a connection ended");
    }
}
