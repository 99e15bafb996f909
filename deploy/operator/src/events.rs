//! Following one order: live by server-sent events, and by asking when those break off.

use std::time::Duration;

use anyhow::{Result, bail};
use bytes::BytesMut;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Decoder as _, LinesCodec};

use crate::api::{Api, Order, bearer};
use crate::http::empty;

/// Keep-alive comments come more often than this.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(250);

/// Waits until the order is settled; `seen` gets every version that arrives.
///
/// # Errors
/// When it is not settled within `limit`.
pub async fn follow(
    api: &Api,
    token: &str,
    order_id: &str,
    limit: Duration,
    mut seen: impl FnMut(&Order),
) -> Result<Order> {
    let deadline = Instant::now() + limit;
    let mut last = String::from("never seen");
    while Instant::now() < deadline {
        let left = deadline - Instant::now();
        let live = timeout(left, listen(api, token, order_id, &mut seen)).await;
        if let Ok(Ok(Some(order))) = live {
            return Ok(order);
        }
        // Whatever broke off the live view, the order itself can be asked for.
        let answer = api.get(&format!("/v1/orders/{order_id}"), Some(token)).await;
        match answer.and_then(|answer| answer.json::<Order>()) {
            Ok(order) => {
                seen(&order);
                if order.is_settled() {
                    return Ok(order);
                }
                last = order.state;
            }
            Err(error) => last = format!("{error:#}"),
        }
        sleep(POLL).await;
    }
    bail!("order {order_id} is not settled after {} s ({last})", limit.as_secs())
}

/// The settled order; none when the stream ends before that.
async fn listen(
    api: &Api,
    token: &str,
    order_id: &str,
    seen: &mut impl FnMut(&Order),
) -> Result<Option<Order>> {
    let path = format!("/v1/orders/{order_id}/events");
    let request = api.client().request(Method::GET, &path);
    let request = request.header(AUTHORIZATION, bearer(token)?).header(ACCEPT, "text/event-stream");
    let answer = api.client().open(request.body(empty())?).await?;
    if !answer.status().is_success() {
        bail!("the live view answered {}", answer.status());
    }
    let mut body = answer.into_body();
    let (mut lines, mut rest) = (LinesCodec::new(), BytesMut::new());
    while let Some(frame) = timeout(SILENCE_MAX, body.frame()).await? {
        let Ok(data) = frame?.into_data() else { continue };
        rest.extend_from_slice(&data);
        while let Some(line) = lines.decode(&mut rest)? {
            let Some(json) = line.strip_prefix("data:") else { continue };
            let order: Order = serde_json::from_str(json.trim())?;
            seen(&order);
            if order.is_settled() {
                return Ok(Some(order));
            }
        }
    }
    Ok(None)
}
