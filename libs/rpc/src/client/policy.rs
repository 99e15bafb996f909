//! What every call goes through, whatever the transport: span and metrics, a deadline, and attempts under a budget, each
//! to the endpoint that [`balance`](super::balance) picks.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, request, uri};
use http_body_util::{BodyExt as _, Collected, Limited};
use telemetry::catalogue::RPC_CLIENT_ATTEMPTS;
use telemetry::metrics::prometheus::IntCounter;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span};

use super::balance::Pool;
use super::budget::Budget;
use super::payload::Payload;
use super::streamed::Streamed;
use super::transport::{Connection as _, Failure, Transport};
use crate::deadline;
use crate::method::{self, Kind};
use crate::metrics::{Latency, Side};
use crate::status::{BoxError, given_up, is_given_up, refusal};

/// Deadline of a unary call when its caller set none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
const ATTEMPTS_MAX: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Maximum size of a unary message, both directions. tonic's own limit, 4 MiB, applies first.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024 + 16 * 1024;

static KINDS: LazyLock<HashMap<String, Kind>> = LazyLock::new(|| {
    method::kinds(method::STANDARD.into_iter().chain([proto::rpc::DESCRIPTORS])).unwrap_or_else(
        |error| {
            tracing::error!(%error, "unusable descriptors: every call is taken for a unary one");
            HashMap::new()
        },
    )
});

/// What the clones of a channel share.
pub(super) struct Shared<T: Transport> {
    pub(super) name: &'static str,
    pool: Arc<Pool<T>>,
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
    fn new(server: &'static str, path: &str) -> Self {
        let label = path.trim_start_matches('/');
        let standard = path.starts_with("/grpc.");
        Self {
            kind: KINDS.get(path).copied().unwrap_or(Kind::Unary),
            idempotent: standard || proto::rpc::is_idempotent(path),
            latency: Latency::new(Side::Client { server }, label),
            attempts: RPC_CLIENT_ATTEMPTS.with_label_values(&[label]),
        }
    }
}

impl<T: Transport> Shared<T> {
    pub(super) fn new(name: &'static str, targets: Arc<[(String, u16)]>, transport: T) -> Self {
        Self {
            name,
            pool: Pool::start(name, targets, transport),
            budget: Budget::default(),
            authority: Authority::from_static(name),
            methods: RwLock::default(),
        }
    }

    pub(super) async fn call(
        &self,
        request: Request<Body>,
        streaming: bool,
    ) -> Result<Response<Body>, Status> {
        let method = self.method(request.uri().path());
        let span = self.span(&method);
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
        let side = Side::Client { server: self.name };
        telemetry::span::when_recorded(&span, |it| side.tell(it, code));
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
        telemetry::context::inject(span, &mut head.headers);
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
        timeout_at(at, attempts).await.unwrap_or_else(|_| Err(self.deadline_exceeded()))
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
            let again = is_worth_retrying(&failure, method.idempotent) && attempt < ATTEMPTS_MAX;
            if !again || !(failure.unsent || self.budget.spend()) {
                return Err(given_up(failure.status));
            }
            // Full jitter, so that calls which failed together do not come back together (thundering herd).
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
        let (_in_flight, connection) = self.pool.pick().await?;
        method.attempts.inc();
        let mut request = Request::from_parts(head.clone(), Payload::message(message));
        let left = deadline.saturating_duration_since(Instant::now());
        request.headers_mut().insert(deadline::GRPC_TIMEOUT, deadline::format(left));
        let (head, body) = connection.send(request).await?.into_parts();
        let answer = Limited::new(body, MESSAGE_BYTES_MAX).collect().await;
        let answer = answer.map_err(broken_off)?;
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
            let (in_flight, connection) = self.pool.pick().await?;
            method.attempts.inc();
            let request = Request::from_parts(head, Payload::streamed(body));
            let answer = connection.send(request).await?;
            Ok::<_, Failure>(answer.map(|body| Body::new(Streamed::new(body, in_flight, at))))
        };
        let answer = match at {
            Some(at) => timeout_at(at, answer).await.map_err(|_| self.deadline_exceeded())?,
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
        Arc::clone(
            known.entry(path.into()).or_insert_with(|| Arc::new(Method::new(self.name, path))),
        )
    }

    fn span(&self, method: &Method) -> Span {
        let span = tracing::info_span!("call", otel.kind = "client");
        telemetry::span::when_recorded(&span, |it| {
            let name = method.latency.method();
            it.name(name.to_owned()).set("rpc.system.name", "grpc");
            it.set("rpc.method", name.to_owned()).set("server.address", self.name);
        });
        span
    }

    fn deadline_exceeded(&self) -> Status {
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

fn is_worth_retrying(failure: &Failure, idempotent: bool) -> bool {
    let may_pass = failure.status.code() == Code::Unavailable && !is_given_up(&failure.status);
    may_pass && (failure.unsent || idempotent)
}

/// The failure of an answer that broke off.
fn broken_off(error: BoxError) -> Failure {
    let too_large = |_| Box::new(Status::resource_exhausted("the answer is too large"));
    let status = *error.downcast::<Status>().unwrap_or_else(too_large);
    Failure { status, unsent: false }
}

fn code(headers: &http::HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

fn whole(answer: Collected<Bytes>) -> Body {
    Body::new(answer)
}
