//! Live order events as server-sent events: every version of the order that the client has not
//! seen. The id of an event is the order's version, so a client that comes back with
//! `Last-Event-ID` misses nothing, whichever gateway it comes back to.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use net::Permit;
use proto::order::v1::Order;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::live::{Next, Versions};
use crate::render;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream");
/// A proxy that collects the answer before it passes it on would make it useless.
const UNBUFFERED: (&str, HeaderValue) = ("x-accel-buffering", HeaderValue::from_static("no"));
/// Sent first, so that the client has the head at once; a stream that ends is asked for again
/// after a second.
const HELLO: &[u8] = b"retry: 1000\n\n";
/// Proxies cut what is silent, and a client that is gone is found out.
const COMMENT: &[u8] = b": keep-alive\n\n";
/// For people who look at the stream; programs skip comments.
const RESUMING: &[u8] = b": resuming\n\n";

/// The stream of one client.
struct Live {
    versions: Versions,
    keep_alive: Duration,
    stop: CancellationToken,
    greeted: bool,
    _permit: Option<Arc<Permit>>,
}

/// An answer that lives as long as the client, the order and this process do; the earliest end
/// is the end.
pub(crate) fn respond(versions: Versions, app: &App, permit: Option<Arc<Permit>>) -> Response {
    let (keep_alive, stop) = (app.keep_alive(), app.stop());
    let live = Live { versions, keep_alive, stop, greeted: false, _permit: permit };
    let frames = stream::unfold(live, |mut live| async move {
        let frame = live.next().await?;
        Some((Ok::<_, Infallible>(frame), live))
    });
    let mut response = Body::from_stream(frames).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(UNBUFFERED.0, UNBUFFERED.1);
    response
}

impl Live {
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(Bytes::from_static(HELLO));
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            next = self.versions.next() => match next {
                Next::Version(order) => event(&order),
                Next::Lost => Some(Bytes::from_static(RESUMING)),
                Next::End => None,
            },
            () = tokio::time::sleep(self.keep_alive) => Some(Bytes::from_static(COMMENT)),
        }
    }
}

fn event(order: &Order) -> Option<Bytes> {
    let mut event = format!("id: {}\nevent: order\ndata: ", order.version).into_bytes();
    serde_json::to_writer(&mut event, &render::Order::from(order)).ok()?; // one line: JSON escapes its own
    event.extend_from_slice(b"\n\n");
    Some(event.into())
}
