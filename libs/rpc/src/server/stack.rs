//! What every call goes through, outermost first. The order is the point:
//!
//! 1. **span**: first, so that whatever happens below is logged with the trace id, refusals
//!    included. It continues the caller's `traceparent`.
//! 2. **metrics**: every answer is counted, also the refusals and the panics below; a call whose
//!    caller went away is counted as CANCELLED when its future is dropped.
//! 3. **caller**: by the one table ([`crate::callers`]). Who may not call must not take a permit
//!    from those who may.
//! 4. **in-flight limit**: no queue, a full server says RESOURCE_EXHAUSTED at once. Before the
//!    deadline, because shedding has to stay cheap when there is too much of everything.
//! 5. **deadline**: around the handler alone; the time that the steps above take is nil. It
//!    drops the handler, so whatever must not be dropped is spawned (see [`context`]).
//! 6. **panic**: innermost, so that it becomes an ordinary INTERNAL answer with no text, and all
//!    of the above sees it as one.
//!
//! One `async fn` rather than six tower layers: it reads in this order, and a call costs one
//! future and no boxes.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use context::Current;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::Body as HttpBody;
use net::{Admission, Permit, Priority};
use telemetry::catalogue::RPC_SERVER_SHED;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;
use tracing::{Instrument as _, Span};

use super::meter::{Meter, code};
use super::stream::Stream;
use super::{Error, ServerOptions};
use crate::method::{self, Kind};
use crate::metrics::{Latency, Side};
use crate::status::{BoxError, refusal};
use crate::{Peer, callers, deadline};

/// The body of a request: from a connection, or from a caller in this process.
pub(crate) trait RequestBody:
    HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static
{
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static> RequestBody for B {}

pub(crate) struct Stack {
    routes: Routes,
    options: ServerOptions,
    methods: HashMap<String, Method>,
    /// All paths that nobody serves: one label, so that they cannot fill `/metrics` (label cardinality).
    unknown: Method,
    unary: Admission,
    streams: Admission,
    shutdown: CancellationToken,
}

struct Method {
    /// Without the slash in front.
    name: &'static str,
    kind: Kind,
    callers: &'static [&'static str],
    latency: Arc<Latency>,
}

impl Method {
    /// Made once for each method, when the process starts, and there until it ends.
    fn new(path: &str, kind: Kind) -> Self {
        let name: &'static str = path.trim_start_matches('/').to_owned().leak();
        let latency = Arc::new(Latency::new(Side::Server, name));
        Self { name, kind, callers: callers::of(path), latency }
    }
}

impl Stack {
    pub(super) fn new(
        routes: Routes,
        options: ServerOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let kinds = method::kinds(method::STANDARD.into_iter().chain([options.descriptors]))?;
        let known = |(path, kind): (String, Kind)| {
            let method = Method::new(&path, kind);
            (path, method)
        };
        Ok(Self {
            routes: routes.prepare(),
            methods: kinds.into_iter().map(known).collect(),
            unknown: Method::new("_OTHER", Kind::Unary),
            unary: Admission::new(options.max_in_flight),
            streams: Admission::new(options.max_streams),
            options,
            shutdown,
        })
    }

    pub(crate) async fn answer<B: RequestBody>(
        self: Arc<Self>,
        peer: Peer,
        request: Request<B>,
    ) -> Response<Body> {
        let known = self.methods.get(request.uri().path());
        let method = known.unwrap_or(&self.unknown);
        let span = span(method.name, &request, &peer);
        let mut meter = Meter::start(Arc::clone(&method.latency), span.clone());
        async {
            let admitted = check_caller(known, &peer).and_then(|()| self.admit(method));
            let permit = match admitted {
                Ok(permit) => permit,
                Err(refused) => return meter.finish(refused.into_http()),
            };
            let deadline = self.deadline(method, &request);
            let call = Current::call(method.name, deadline, Arc::clone(&permit));
            let response = self.handle(call, deadline, peer, request).await;
            if method.kind == Kind::Stream && code(&response) == Code::Ok {
                let stream = |body| Stream::new(body, meter, permit, deadline, &self.shutdown);
                return response.map(|body| Body::new(stream(body)));
            }
            meter.finish(response)
        }
        .instrument(span)
        .await
    }

    fn admit(&self, method: &Method) -> Result<Arc<Permit>, Status> {
        let (admission, kind) = match method.kind {
            Kind::Stream => (&self.streams, "stream"),
            Kind::Unary | Kind::Upload => (&self.unary, "unary"),
        };
        admission.admit(Priority::High).map(Arc::new).ok_or_else(|| {
            RPC_SERVER_SHED.with_label_values(&[kind]).inc();
            refusal(Code::ResourceExhausted, "overloaded", "too many calls in progress")
        })
    }

    /// The caller's deadline; for unary calls never later than our own maximum.
    fn deadline<B>(&self, method: &Method, request: &Request<B>) -> Option<Instant> {
        let wish = request.headers().get(deadline::GRPC_TIMEOUT).and_then(deadline::parse);
        let most = (method.kind == Kind::Unary).then_some(self.options.max_deadline);
        let within = wish.into_iter().chain(most).min()?;
        Instant::now().checked_add(within)
    }

    async fn handle<B: RequestBody>(
        &self,
        call: Current,
        deadline: Option<Instant>,
        peer: Peer,
        mut request: Request<B>,
    ) -> Response<Body> {
        request.extensions_mut().insert(peer);
        let handler = call.scope(self.routes.clone().call(request));
        let handler = AssertUnwindSafe(handler).catch_unwind();
        let outcome = match deadline {
            Some(deadline) => timeout_at(deadline, handler).await,
            None => Ok(handler.await),
        };
        match outcome {
            Ok(Ok(Ok(response))) => response,
            Ok(Err(panic)) => panicked(&*panic).into_http(),
            Err(_elapsed) => deadline_exceeded().into_http(),
        }
    }
}

fn check_caller(known: Option<&Method>, peer: &Peer) -> Result<(), Status> {
    let method = known.ok_or_else(|| Status::unimplemented("there is no such method"))?;
    if method.callers.contains(&peer.name()) {
        return Ok(());
    }
    tracing::warn!(peer = peer.name(), "a caller that is not allowed here");
    Err(refusal(Code::PermissionDenied, "caller_not_allowed", "this caller is not allowed"))
}

fn span<B>(method: &'static str, request: &Request<B>, peer: &Peer) -> Span {
    let span = tracing::info_span!("serve", otel.kind = "server");
    telemetry::context::continue_from_headers(&span, request.headers());
    telemetry::span::when_recorded(&span, |it| {
        it.name(method).set("rpc.system.name", "grpc").set("rpc.method", method);
        it.set("souk.caller", peer.name().to_owned());
        if let Some(host) = request.uri().host() {
            it.set("server.address", host.to_owned());
        }
    });
    span
}

fn deadline_exceeded() -> Status {
    refusal(Code::DeadlineExceeded, "deadline_exceeded", "the deadline has passed")
}

fn panicked(panic: &(dyn Any + Send)) -> Status {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("?"), "a handler panicked");
    Status::internal("internal error")
}
