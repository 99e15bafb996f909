//! Server-sent events: every version of an order, or of an import, that the client has not
//! seen. The id of an event is the version, so a client that comes back with
//! `Last-Event-ID` misses nothing, whichever gateway it comes back to.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, future, stream};
use http::request::Parts;
use http::{HeaderName, header};
use net::Permit;

use crate::app::App;
use crate::live::{Next, OrderStream};
use crate::problem::Problem;
use crate::render;

/// Tells a proxy not to buffer the stream.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// After this time a client reconnects when its stream has ended.
const RETRY: Duration = Duration::from_secs(1);

/// `Last-Event-ID`: the version that the client saw last, 0 for none.
pub(crate) struct LastEventId(pub i64);

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(id) = parts.headers.get("last-event-id") else { return Ok(Self(0)) };
        let version = id.to_str().ok().and_then(|id| id.trim().parse().ok());
        version.filter(|version| *version >= 0).map(Self).ok_or_else(|| {
            Problem::invalid(
                "Last-Event-ID",
                "the id of an event is the version of what is watched",
            )
        })
    }
}

/// An answer that lives as long as the client, the events and this process do; the earliest end
/// is the end.
pub(crate) fn respond(
    events: impl Stream<Item = Result<Event, axum::Error>> + Send + 'static,
    app: &App,
    permit: Option<Arc<Permit>>,
) -> Response {
    // First, so that the client has the head at once.
    let hello = stream::once(future::ready(Ok(Event::default().retry(RETRY))));
    let events = events.map(move |event| {
        let _held = &permit;
        event
    });
    let events = hello.chain(events).take_until(app.stop().cancelled_owned());
    // Proxies cut what is silent, and a client that is gone is found out.
    let comments = KeepAlive::new().interval(app.keep_alive()).text("keep-alive");
    let headers = [UNBUFFERED, (header::CACHE_CONTROL, "no-store")];
    (headers, Sse::new(events).keep_alive(comments)).into_response()
}

/// The versions of an order.
pub(crate) fn of_order(
    versions: OrderStream,
) -> impl Stream<Item = Result<Event, axum::Error>> + Send {
    stream::unfold(versions, |mut versions| async move {
        let event = event(versions.next().await)?;
        Some((event, versions))
    })
}

fn event(next: Next) -> Option<Result<Event, axum::Error>> {
    match next {
        Next::Version(order) => {
            let event = Event::default().id(order.version.to_string()).event("order");
            Some(event.json_data(render::Order::from(&*order)))
        }
        // For people who look at the stream; programs skip comments.
        Next::Disconnected => Some(Ok(Event::default().comment("resuming"))),
        Next::End => None,
    }
}
