//! Live order events as server-sent events: every version of the order that the client has not
//! seen. The id of an event is the order's version, so a client that comes back with
//! `Last-Event-ID` misses nothing, whichever gateway it comes back to.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, future, stream};
use http::{HeaderName, header};
use net::Permit;

use crate::app::App;
use crate::live::{Next, OrderStream};
use crate::render;

/// Tells a proxy not to buffer the stream.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// After this time a client reconnects when its stream has ended.
const RETRY: Duration = Duration::from_secs(1);

/// An answer that lives as long as the client, the order and this process do; the earliest end
/// is the end.
pub(crate) fn respond(versions: OrderStream, app: &App, permit: Option<Arc<Permit>>) -> Response {
    // First, so that the client has the head at once.
    let hello = stream::once(future::ready(Ok(Event::default().retry(RETRY))));
    let told = stream::unfold((versions, permit), |(mut versions, permit)| async move {
        let event = event(versions.next().await)?;
        Some((event, (versions, permit)))
    });
    let events = hello.chain(told).take_until(app.stop().cancelled_owned());
    // Proxies cut what is silent, and a client that is gone is found out.
    let comments = KeepAlive::new().interval(app.keep_alive()).text("keep-alive");
    let headers = [UNBUFFERED, (header::CACHE_CONTROL, "no-store")];
    (headers, Sse::new(events).keep_alive(comments)).into_response()
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
