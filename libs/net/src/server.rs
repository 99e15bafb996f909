//! Connections: accepted, watched, and brought to an end that is bounded whatever the clients do.
//!
//! Not the `serve` of axum or of tonic: they let a client take for ever over the head of a request, and when they
//! stop, they wait for ever for a connection that never sent a byte.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::acceptor::{Acceptor, HandshakeError, Stream, certificate};
use crate::activity::{Activity, Timeouts, overdue};
use crate::listener::{Connected, Listener, next_of};
use crate::socket::Socket;

const HANDSHAKES_MAX: usize = 256;
/// After the shutdown began, a connection without a request is closed after this time.
const SILENCE_MAX: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type BoxError = Box<dyn Error + Send + Sync>;

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections at a time; more wait in the listener's backlog.
    pub max_connections: usize,
    /// How long requests in progress may take to finish once the shutdown began.
    pub max_drain: Duration,
    /// How long to wait for a client; `None` where the timers of the HTTP builder are enough.
    pub timeouts: Option<Timeouts>,
    /// Told of each client that got no connection, for metrics.
    pub handshake_failed: fn(&HandshakeError),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_drain: Duration::from_secs(12),
            timeouts: None,
            handshake_failed: |_| {},
        }
    }
}

/// A connection server.
#[derive(Debug)]
pub struct Server {
    http: auto::Builder<TokioExecutor>,
    options: Options,
}

impl Server {
    /// A server that speaks what `http` says, with its limits and timers.
    pub fn new(http: auto::Builder<TokioExecutor>, options: Options) -> Self {
        Self { http, options }
    }

    /// Serves until `shutdown`: then nothing more is accepted, requests in progress finish, and what has not finished
    /// in time is cut off. The limits are those of all listeners together.
    ///
    /// `connected` is called for each connection. What it returns answers the connection's requests and is dropped
    /// with the connection; `None` closes it.
    pub async fn serve<S, B>(
        self,
        listeners: Vec<Listener>,
        connected: impl Fn(Connected<'_>) -> Option<S> + Send + Sync + 'static,
        shutdown: CancellationToken,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let drain = self.options.max_drain;
        let running = Arc::new(Running::new(self, shutdown));
        let connected = Arc::new(connected);
        let mut connections = JoinSet::new();
        while let Some(accepted) = running.next(&listeners, &mut connections).await {
            let (running, connected) = (Arc::clone(&running), Arc::clone(&connected));
            connections.spawn(async move { running.connection(accepted, &*connected).await });
        }
        drop(listeners);
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(drain, finished).await.is_err() {
            tracing::warn!(left = connections.len(), "closing connections that did not drain");
            connections.shutdown().await;
        }
    }
}

struct Running {
    server: Server,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    /// Of the listeners.
    turn: AtomicUsize,
    shutdown: CancellationToken,
}

struct Accepted {
    tcp: TcpStream,
    acceptor: Acceptor,
    /// Until the connection ends.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Running {
    fn new(server: Server, shutdown: CancellationToken) -> Self {
        let connections = Arc::new(Semaphore::new(server.options.max_connections));
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        Self { server, connections, handshakes, turn: AtomicUsize::new(0), shutdown }
    }

    /// The next connection; `None` when the shutdown began.
    async fn next(
        &self,
        listeners: &[Listener],
        connections: &mut JoinSet<()>,
    ) -> Option<Accepted> {
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                Some(_) = connections.join_next() => {}
                accepted = self.accept(listeners) => match accepted {
                    Ok(accepted) => return Some(accepted),
                    Err(error) => accept_failed(&error).await,
                },
            }
        }
    }

    /// When there are too many connections, the others wait in the backlogs.
    async fn accept(&self, listeners: &[Listener]) -> io::Result<Accepted> {
        let _permit = permit(&self.connections).await;
        let (tcp, acceptor) = next_of(listeners, self.turn.fetch_add(1, Ordering::Relaxed)).await?;
        Ok(Accepted { tcp, acceptor: acceptor.clone(), _permit })
    }

    /// Handshakes run here, in tasks of their own, so that a silent client blocks no other.
    async fn connection<S, B>(
        &self,
        Accepted { tcp, acceptor, _permit }: Accepted,
        connected: impl Fn(Connected<'_>) -> Option<S>,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let _ = tcp.set_nodelay(true); // a matter of speed only
        let activity = Arc::new(Activity::new());
        let (socket, remains) = Socket::new(tcp, Arc::clone(&activity));
        let Some(stream) = self.handshake(&acceptor, socket).await else { return };
        let who = Connected { tls: acceptor.is_tls(), certificate: certificate(&stream) };
        let Some(service) = connected(who) else { return };
        self.converse(stream, service, &activity).await;
        remains.discard_rest().await;
    }

    /// With TLS 1.3 a client may have sent its first requests before we are done here, so a handshake that has begun
    /// is brought to its end and the client told goodbye in HTTP. Of too many handshakes the others wait for their
    /// turn, without holding up a listener that speaks no TLS.
    async fn handshake(&self, acceptor: &Acceptor, socket: Socket) -> Option<Stream> {
        let accept = async {
            let _turn = if acceptor.is_tls() { permit(&self.handshakes).await } else { None };
            acceptor.accept(socket).await
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            () = async { self.shutdown.cancelled().await; sleep(SILENCE_MAX).await } => return None,
        };
        let failed = |error: &HandshakeError| {
            tracing::debug!(error = error as &dyn Error, "no connection");
            (self.server.options.handshake_failed)(error);
        };
        accepted.inspect_err(failed).ok()
    }

    async fn converse<S, B>(&self, stream: Stream, service: S, activity: &Arc<Activity>)
    where
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let asking = Arc::clone(activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let asked = asking.asked(request.version());
            service.call(request).inspect(move |_| drop(asked))
        });
        let http = &self.server.http;
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let overdue = || overdue(activity, self.server.options.timeouts);
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            () = overdue() => return,
            () = self.shutdown.cancelled() => {}
        }
        // In HTTP/2 a goodbye says which requests will still be answered. In HTTP/1 there is none: a first request
        // may be on its way, and hyper, told to stop, would not read it.
        if activity.has_asked() || !http.is_http1_available() {
            connection.as_mut().graceful_shutdown();
        }
        if !activity.has_asked() {
            // hyper waits for ever for the first byte of a connection that it should close.
            tokio::select! {
                ended = connection.as_mut() => return log_end(ended),
                () = sleep(SILENCE_MAX) => {}
            }
            if !activity.has_asked() {
                return;
            }
            connection.as_mut().graceful_shutdown();
        }
        tokio::select! {
            ended = connection.as_mut() => log_end(ended),
            () = overdue() => {}
        }
    }
}

/// A permit of a semaphore that nobody closes.
async fn permit(of: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(of).acquire_owned().await.ok()
}

/// Out of file descriptors or memory: pauses, so that accepting does not become a busy loop.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    sleep(ACCEPT_PAUSE).await;
}

fn log_end(ended: Result<(), BoxError>) {
    if let Err(error) = ended {
        tracing::debug!(error = &*error as &dyn Error, "a connection broke off");
    }
}
