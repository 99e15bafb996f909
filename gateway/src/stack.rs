//! What every request goes through, outermost first. The order is the point:
//!
//! 1. **span**: first, so that whatever happens below is logged with the trace id, refusals
//!    included. It continues the client's `traceparent`.
//! 2. **metrics**: every answer is counted, also the refusals and the panics below, and a request
//!    whose client disconnected, when its future is dropped.
//! 3. **ids and caching**: every answer leads to its trace, and is nobody's to keep unless its
//!    route said so.
//! 4. **form**: a host, and a body that can be read. It costs nothing, and what is malformed takes
//!    no permit from what is not.
//! 5. **in-flight limit**: no queue. Before anything of the body is read, because turning away has
//!    to stay cheap when there is too much of everything. Browsing is turned away first.
//! 6. **deadline**: one for the request, which bounds its body and every call that it makes.
//!    Nothing is timed here: whatever a handler waits for ends at that deadline by itself.
//! 7. **panic**: innermost, so that it becomes an ordinary 500, and all of the above sees it so.
//!
//! One future rather than seven tower layers: it reads in this order, and a request costs one box.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use futures_util::FutureExt as _;
use net::{Admission, Permit, Priority};
use rpc::deadline;
use telemetry::catalogue::HTTP_SERVER_SHED;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::Config;
use crate::class::Class;
use crate::problem::Problem;
use crate::storefront::{refusal, wants_html};
use crate::trace::{self, Meter};
use crate::{body, host};

/// The layer; it goes around the routes, inside the router, which is where the matched route is
/// known.
#[derive(Clone)]
pub(crate) struct Stack(Arc<Limits>);

struct Limits {
    requests: Admission,
    streams: Admission,
    deadline: Duration,
    import_deadline: Duration,
}

impl Stack {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new(Limits {
            requests: Admission::new(config.max_in_flight),
            streams: Admission::new(config.max_streams),
            deadline: config.deadline,
            import_deadline: config.import_deadline,
        }))
    }
}

impl<S> Layer<S> for Stack {
    type Service = Stacked<S>;

    fn layer(&self, inner: S) -> Stacked<S> {
        Stacked { inner, limits: Arc::clone(&self.0) }
    }
}

/// A route with the stack around it.
#[derive(Clone)]
pub(crate) struct Stacked<S> {
    inner: S,
    limits: Arc<Limits>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

impl<S> Service<Request> for Stacked<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Answer {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let class = Class::of(trace::route(route.as_ref()));
        let span = trace::span(&request, route.as_ref());
        let request_id = trace::request_id(request.headers(), &span);
        let meter = Meter::start(&request, route, span.clone());
        let for_people = wants_html(request.headers());

        let permit = check_form(&request).and_then(|()| self.limits.admit(class));
        let handled = permit.map(|permit| {
            let permit = Arc::new(permit);
            if class == Class::Watch {
                request.extensions_mut().insert(Arc::clone(&permit)); // its stream outlives the handler
            }
            let handled = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
            (permit, self.limits.deadline(class), handled)
        });
        let answer = async move {
            let mut response = match handled {
                Err(refused) => refusal(refused, for_people),
                Ok((_permit, within, handled)) => {
                    let handled = match within {
                        Some(within) => deadline::within(within, handled).await,
                        None => handled.await,
                    };
                    match handled {
                        Ok(Ok(response)) => response,
                        // The panic itself is logged where it happens.
                        Err(_panic) => refusal(Problem::internal(), for_people),
                    }
                }
            };
            trace::finish(response.headers_mut(), meter.span(), request_id);
            meter.finish(response.status());
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

fn check_form(request: &Request) -> Result<(), Problem> {
    host::check(request)?;
    body::check_encoding(request.headers())
}

impl Limits {
    fn admit(&self, class: Class) -> Result<Permit, Problem> {
        let permit = match class {
            Class::Browse => self.requests.admit(Priority::Low),
            Class::Usual | Class::Import => self.requests.admit(Priority::High),
            Class::Watch => self.streams.admit(Priority::High),
        };
        permit.ok_or_else(|| {
            HTTP_SERVER_SHED.with_label_values(&[class.name()]).inc();
            Problem::overloaded()
        })
    }

    /// A live stream has none: it ends with the order, the client, or this process.
    fn deadline(&self, class: Class) -> Option<Duration> {
        match class {
            Class::Browse | Class::Usual => Some(self.deadline),
            Class::Import => Some(self.import_deadline),
            Class::Watch => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer_like_any_other_and_keeps_no_permit() {
        let stack = Stack(Arc::new(Limits {
            requests: Admission::new(1),
            streams: Admission::new(1),
            deadline: Duration::from_secs(5),
            import_deadline: Duration::from_secs(5),
        }));
        let panics = async || -> StatusCode { panic!("not to be told") };
        let router: Router = Router::new().route("/", get(panics)).layer(stack);
        for _ in 0..2 {
            let request =
                Request::builder().uri("/").header("host", "shop").body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains("\"internal\"") && !body.contains("told"), "{body}");
        }
    }
}
