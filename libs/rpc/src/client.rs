//! The calling side: a [`Channel`] to a service by name, used with the generated clients.
//!
//! It is the one layer that retries. A call is sent again when that cannot do harm (the method
//! is marked idempotent, or nothing of the call ever reached a server), at most twice, after a
//! random pause, within the call's deadline, and under a budget: retries never add more than a
//! tenth to the load of a service that is failing. What is UNAVAILABLE in spite of that says so to whoever it is
//! passed on to, and is retried by nobody above ([`status::given_up`](crate::status)).

mod balance;
mod budget;
mod connect;
mod payload;
mod endpoint;
mod failure;
mod streamed;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, request, uri};
use http_body_util::{BodyExt as _, Collected, Limited};
use telemetry::metrics::prometheus::IntCounter;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span, field};

use crate::method::{self, Kind};
use crate::metrics::{self, Latency};
use crate::status::{given_up, refusal};
use crate::{Identity, deadline};
use balance::Pool;
use budget::Budget;
use connect::Sender;
use endpoint::InFlight;
use failure::Failure;
use payload::Payload;
use streamed::Streamed;

/// What a unary call gets when nobody set a deadline.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPTS_MAX: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// What a unary message may weigh, either way; tonic's own limit is 4 MiB and has the word first.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024 + 16 * 1024;

static KINDS: LazyLock<HashMap<String, Kind>> = LazyLock::new(|| {
    method::kinds(method::STANDARD.into_iter().chain([proto::rpc::DESCRIPTORS])).unwrap_or_else(
        |error| {
            tracing::error!(%error, "unusable descriptors: every call is taken for a unary one");
            HashMap::new()
        },
    )
});

/// Where a service can be reached: `host:port`, several separated by commas. A host may resolve
/// to many addresses; each is an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Arc<[(String, u16)]>);

/// Text that is no list of `host:port`.
#[derive(Debug, thiserror::Error)]
#[error("expected host:port, several separated by commas, but found {0:?}")]
pub struct BadTargets(String);

impl FromStr for Targets {
    type Err = BadTargets;

    fn from_str(text: &str) -> Result<Self, BadTargets> {
        let bad = || BadTargets(text.to_owned());
        let target = |target: &str| {
            let (host, port) = target.trim().rsplit_once(':').ok_or_else(bad)?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let plausible = !host.is_empty() && !host.contains(['/', ' ', '@']);
            let port = port.parse().map_err(|_| bad())?;
            if plausible { Ok((host.to_owned(), port)) } else { Err(bad()) }
        };
        text.split(',').map(target).collect::<Result<_, _>>().map(Self)
    }
}

/// A channel to the service whose certificates say `name`, at `targets`. Returns at once: the
/// connections are made, kept and made again in the background until the last clone is dropped.
/// Must be called inside a tokio runtime.
pub fn connect(name: &'static str, targets: &Targets, identity: &Identity) -> Channel {
    let pool = Pool::start(name, Arc::clone(&targets.0), identity.clone());
    let shared = Shared {
        name,
        pool,
        budget: Budget::default(),
        authority: Authority::from_static(name),
        methods: RwLock::default(),
    };
    Channel { shared: Arc::new(shared), streaming: false }
}

/// A channel to a service, for the generated clients: `CartServiceClient::new(channel)`. Clones
/// share connections.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
    streaming: bool,
}

struct Shared {
    name: &'static str,
    pool: Arc<Pool>,
    budget: Budget,
    authority: Authority,
    methods: RwLock<HashMap<Box<str>, Arc<Method>>>,
}

struct Method {
    kind: Kind,
    idempotent: bool,
    latency: Latency,
    attempts: IntCounter,
}

impl Method {
    fn new(path: &str) -> Self {
        let label = path.trim_start_matches('/');
        let standard = path.starts_with("/grpc.");
        Self {
            kind: KINDS.get(path).copied().unwrap_or(Kind::Unary),
            idempotent: standard || proto::rpc::is_idempotent(path),
            latency: Latency::new(&metrics::CLIENT, label),
            attempts: metrics::attempts(label),
        }
    }
}

impl Channel {
    /// The same channel for methods that stream, where the descriptors of the shop do not tell:
    /// nothing is buffered, nothing is retried, and without a deadline of its own a call has none.
    #[must_use]
    pub fn streaming(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), streaming: true }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl tower::Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (shared, streaming) = (Arc::clone(&self.shared), self.streaming);
        Box::pin(async move { shared.call(request, streaming).await })
    }
}

impl Shared {
    async fn call(
        &self,
        request: Request<Body>,
        streaming: bool,
    ) -> Result<Response<Body>, Status> {
        let method = self.method(request.uri().path());
        let span = self.span(request.uri().path());
        let began = Instant::now();
        let (head, body) = self.head(request, &span);
        let unary = method.kind == Kind::Unary && !streaming;
        let answer = async {
            if unary {
                self.unary(&method, head, body).await
            } else {
                self.streamed(&method, head, body).await
            }
        };
        let answer = answer.instrument(span.clone()).await;
        let code = answer.as_ref().map_or_else(Status::code, |(code, _)| *code);
        span.record("rpc.grpc.status_code", code as i32);
        method.latency.observe(code, began.elapsed());
        answer.map(|(_, response)| response)
    }

    /// What does not change between attempts: where to, and which trace.
    fn head(&self, request: Request<Body>, span: &Span) -> (request::Parts, Body) {
        let (mut head, body) = request.into_parts();
        let mut uri = uri::Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = head.uri.path_and_query().cloned();
        head.uri = Uri::from_parts(uri).unwrap_or_default();
        let traceparent = telemetry::context::of(span);
        if let Some(Ok(value)) = traceparent.map(HeaderValue::try_from) {
            head.headers.insert(telemetry::context::HEADER, value);
        }
        (head, body)
    }

    async fn unary(
        &self,
        method: &Method,
        head: request::Parts,
        body: Body,
    ) -> Result<(Code, Response<Body>), Status> {
        let at = deadline_of(&head).unwrap_or_else(|| Instant::now() + DEFAULT_DEADLINE);
        let attempts = async {
            let message = body.collect().await?.to_bytes();
            self.attempts(method, head, message, at).await
        };
        timeout_at(at, attempts).await.unwrap_or_else(|_| Err(self.late()))
    }

    async fn attempts(
        &self,
        method: &Method,
        head: request::Parts,
        message: Bytes,
        deadline: Instant,
    ) -> Result<(Code, Response<Body>), Status> {
        self.budget.earn();
        for attempt in 1.. {
            let outcome = self.attempt(method, &head, message.clone(), deadline).await;
            let Err(failure) = outcome else { return outcome.map_err(|failure| failure.status) };
            let again = failure.is_worth_retrying(method.idempotent) && attempt < ATTEMPTS_MAX;
            if !again || !(failure.unsent || self.budget.spend()) {
                return Err(given_up(failure.status));
            }
            // Full jitter: whoever failed together comes back apart.
            sleep((RETRY_PAUSE * attempt).mul_f64(rand::random())).await;
        }
        unreachable!("the loop above returns at the last attempt")
    }

    async fn attempt(
        &self,
        method: &Method,
        head: &request::Parts,
        message: Bytes,
        deadline: Instant,
    ) -> Result<(Code, Response<Body>), Failure> {
        let (endpoint, mut sender) = self.pool.pick().await?;
        let _in_flight = InFlight::new(endpoint);
        method.attempts.inc();
        let mut request = Request::from_parts(head.clone(), Payload::Message(Some(message)));
        let left = deadline.saturating_duration_since(Instant::now());
        request.headers_mut().insert(deadline::GRPC_TIMEOUT, deadline::format(left));
        let sent = sender.try_send_request(request);
        forget_sender(sender);
        let response = sent.await.map_err(Failure::from_send)?;
        let (head, body) = response.into_parts();
        let answer = Limited::new(body, MESSAGE_BYTES_MAX).collect().await;
        let answer = answer.map_err(Failure::from_body)?;
        let said = if head.headers.contains_key(Status::GRPC_STATUS) {
            Some(&head.headers)
        } else {
            answer.trailers()
        };
        let code = said.and_then(code).unwrap_or(Code::Unknown);
        if code == Code::Unavailable
            && let Some(status) = said.and_then(Status::from_header_map)
        {
            return Err(Failure { status, unsent: false });
        }
        Ok((code, Response::from_parts(head, whole(answer))))
    }

    async fn streamed(
        &self,
        method: &Method,
        mut head: request::Parts,
        body: Body,
    ) -> Result<(Code, Response<Body>), Status> {
        let at = deadline_of(&head);
        if let Some(at) = at {
            let left = at.saturating_duration_since(Instant::now());
            head.headers.insert(deadline::GRPC_TIMEOUT, deadline::format(left));
        }
        let answer = async {
            let (endpoint, mut sender) = self.pool.pick().await?;
            method.attempts.inc();
            let in_flight = InFlight::new(endpoint);
            let request = Request::from_parts(head, Payload::Streamed(body));
            let sent = sender.try_send_request(request);
            forget_sender(sender);
            let answer = sent.await.map_err(Failure::from_send)?;
            Ok::<_, Failure>(answer.map(|body| Body::new(Streamed::new(body, in_flight, at))))
        };
        let answer = match at {
            Some(at) => timeout_at(at, answer).await.map_err(|_| self.late())?,
            None => answer.await,
        };
        let answer = answer.map_err(|failure| failure.status)?;
        Ok((code(answer.headers()).unwrap_or(Code::Ok), answer))
    }

    fn method(&self, path: &str) -> Arc<Method> {
        let known = self.methods.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(method) = known.get(path) {
            return Arc::clone(method);
        }
        drop(known);
        let mut known = self.methods.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        Arc::clone(known.entry(path.into()).or_insert_with(|| Arc::new(Method::new(path))))
    }

    fn span(&self, path: &str) -> Span {
        tracing::info_span!(
            "call",
            otel.name = path,
            otel.kind = "client",
            rpc.system = "grpc",
            peer = self.name,
            rpc.grpc.status_code = field::Empty,
        )
    }

    fn late(&self) -> Status {
        let message = format!("{} did not answer in time", self.name);
        refusal(Code::DeadlineExceeded, "deadline_exceeded", message)
    }
}

/// The earlier of what the caller asked for (`Request::set_timeout`) and the deadline of the
/// call that is being served here.
fn deadline_of(head: &request::Parts) -> Option<Instant> {
    let asked = head.headers.get(deadline::GRPC_TIMEOUT).and_then(deadline::parse);
    let asked = asked.and_then(|timeout| Instant::now().checked_add(timeout));
    asked.into_iter().chain(deadline::current()).min()
}

/// Before waiting for an answer. A request that is handed over in the moment in which its
/// connection ends stays in the channel between the two, and is given back only when the last
/// sender is gone: whoever waits with a sender in hand waits for himself, until the deadline.
fn forget_sender(sender: Sender) {
    drop(sender);
}

fn code(headers: &http::HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

fn whole(answer: Collected<Bytes>) -> Body {
    Body::new(answer)
}
