//! The serving side: connections of [`net`] in, calls through the [stack](stack).

mod meter;
mod stack;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use net::{Acceptor, Connected, Listener, auto};
use rustls::pki_types::CertificateDer;
use telemetry::catalogue::RPC_SERVER_HANDSHAKES;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::{Identity, Peer, method};
pub(crate) use stack::Stack;

/// HTTP/2 keepalive detects a dead client; TCP keepalive would only repeat it.
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
    /// Sets whether the process as a whole (the empty service name) is SERVING.
    pub async fn set_serving(&self, serving: bool) {
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
    let (services, max_drain) = (options.services, options.max_drain);
    health.announce(services, ServingStatus::Serving).await;
    let routes = with_standard_services(routes, &options)?;
    let server = net::Server::new(http(&options), connections(&options));
    let stack = Arc::new(Stack::new(routes, options, shutdown.clone())?);
    let in_process = identity.serve_in_process(&stack);
    let acceptor = Acceptor::tls(move || identity.server());
    let listener = Listener { tcp: listener, acceptor };
    let connected = move |client: Connected<'_>| {
        let (stack, peer) = (Arc::clone(&stack), peer(client.certificate)?);
        Some(service_fn(move |request| {
            Arc::clone(&stack).answer(peer.clone(), request).map(Ok::<_, Infallible>)
        }))
    };
    let stopping = async {
        shutdown.cancelled().await;
        health.set_serving(false).await;
        health.announce(services, ServingStatus::NotServing).await;
        if let Some(in_process) = in_process {
            in_process.drain(max_drain).await;
        }
    };
    tokio::join!(server.serve(vec![listener], connected, shutdown.clone()), stopping);
    Ok(())
}

fn connections(options: &ServerOptions) -> net::Options {
    net::Options {
        max_drain: options.max_drain,
        handshake_failed: |error| RPC_SERVER_HANDSHAKES.with_label_values(&[error.name()]).inc(),
        ..net::Options::default()
    }
}

/// Who is at the other end: the name in the certificate that the handshake has verified.
fn peer(certificate: Option<&CertificateDer<'static>>) -> Option<Peer> {
    let peer = certificate.and_then(Peer::of_certificate);
    let outcome = if peer.is_some() { "ok" } else { "nameless" };
    RPC_SERVER_HANDSHAKES.with_label_values(&[outcome]).inc();
    peer
}

fn with_standard_services(routes: Routes, options: &ServerOptions) -> Result<Routes, Error> {
    let health = HealthService::from_health_reporter(options.health.0.clone());
    Ok(routes
        .add_service(HealthServer::new(health))
        .add_service(reflection(options).build_v1()?)
        .add_service(reflection(options).build_v1alpha()?))
}

/// What reflection returns for the server's services, in either of its versions.
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

fn http(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let streams = options.max_in_flight + options.max_streams + STREAMS_REFUSED_MAX;
    let mut http = auto::Builder::new(TokioExecutor::new()).http2_only();
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .auto_date_header(false);
    http
}
