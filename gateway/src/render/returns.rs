//! Returns, as their customers and staff see them.

use proto::order::v1 as order;
use serde::Serialize;

use super::{Amount, amount};

#[derive(Serialize)]
pub(crate) struct Return<'a> {
    return_id: &'a str,
    order_id: &'a str,
    state: &'static str,
    items: Vec<Item<'a>>,
    refund: Option<Amount<'a>>,
    requested_at_unix_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at_unix_ms: Option<i64>,
    /// For staff only.
    #[serde(skip_serializing_if = "str::is_empty")]
    decided_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded_at_unix_ms: Option<i64>,
}

impl<'a> From<&'a order::Return> for Return<'a> {
    fn from(found: &'a order::Return) -> Self {
        let item = |item: &'a order::r#return::Item| Item {
            product_id: &item.product_id,
            quantity: item.quantity,
            received: item.received,
        };
        Self {
            return_id: &found.return_id,
            order_id: &found.order_id,
            state: state(found.state()),
            items: found.items.iter().map(item).collect(),
            refund: amount(&found.refund),
            requested_at_unix_ms: found.requested_at_unix_ms,
            decided_at_unix_ms: made(found.decided_at_unix_ms),
            decided_by: &found.decided_by,
            reason: &found.reason,
            refunded_at_unix_ms: made(found.refunded_at_unix_ms),
        }
    }
}

/// The time of a step, if it was made.
fn made(at_unix_ms: i64) -> Option<i64> {
    (at_unix_ms > 0).then_some(at_unix_ms)
}

#[derive(Serialize)]
struct Item<'a> {
    product_id: &'a str,
    quantity: i64,
    received: i64,
}

fn state(state: order::ReturnState) -> &'static str {
    match state {
        order::ReturnState::Requested => "requested",
        order::ReturnState::Received => "received",
        order::ReturnState::Refused => "refused",
        order::ReturnState::Refunded => "refunded",
        order::ReturnState::Unspecified => "unknown",
    }
}
