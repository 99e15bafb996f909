//! The saga of an order as lanes: what each service has done, when, and what was undone. Read from the order's steps, which are its record;
//! payment's answer adds what happened at the provider.

use proto::order::v1::{CancelReason, Order, State};
use proto::payment::v1::{self as payment, Payment};

/// A service and what it did.
pub(super) struct Lane {
    pub(super) service: &'static str,
    pub(super) events: Vec<Event>,
}

pub(super) struct Event {
    pub(super) text: &'static str,
    /// `done`, `waits`, `failed`, or `undone` for a compensation.
    pub(super) kind: &'static str,
    /// Milliseconds after the order was placed, where the order's record has it.
    pub(super) after_ms: Option<i64>,
}

fn event(kind: &'static str, text: &'static str, after_ms: Option<i64>) -> Event {
    Event { text, kind, after_ms }
}

/// Order, product and payment.
pub(super) fn of(order: &Order, payment: Option<&Payment>) -> [Lane; 3] {
    [
        Lane { service: "order", events: order_lane(order) },
        Lane { service: "product", events: product_lane(order) },
        Lane { service: "payment", events: payment_lane(order, payment) },
    ]
}

/// How long after the beginning the order was in this state; `None`: it never was.
fn after(order: &Order, state: State) -> Option<i64> {
    let at = |state: State| order.steps.iter().find(|step| step.state() == state);
    Some(at(state)?.at_unix_ms - at(State::Placed)?.at_unix_ms)
}

fn order_lane(order: &Order) -> Vec<Event> {
    let mut events = vec![event("done", "placed", after(order, State::Placed))];
    match order.state() {
        State::Confirmed => events.push(event("done", "confirmed", after(order, State::Confirmed))),
        State::Cancelled => {
            events.push(event("failed", reason(order), after(order, State::Cancelled)));
        }
        State::Placed | State::StockHeld | State::Unspecified => {
            events.push(event("waits", "waits for the others", None));
        }
    }
    events
}

fn reason(order: &Order) -> &'static str {
    match order.cancel_reason() {
        CancelReason::OutOfStock => "cancelled: out of stock",
        CancelReason::PaymentDeclined => "cancelled: the card was declined",
        CancelReason::Deadline => "cancelled: it took too long",
        CancelReason::Customer => "cancelled by you",
        CancelReason::Unspecified => "cancelled",
    }
}

fn product_lane(order: &Order) -> Vec<Event> {
    let held = after(order, State::StockHeld);
    let was_held = held.map(|at| event("done", "stock held for you", Some(at)));
    let then = match (order.state(), was_held.is_some()) {
        (State::Confirmed, _) => event("done", "shipped from stock", None),
        (State::Cancelled, true) => event("undone", "stock released again", None),
        (State::Cancelled, false) if order.cancel_reason() == CancelReason::OutOfStock => {
            event("failed", "not enough in stock", after(order, State::Cancelled))
        }
        (State::Cancelled, false) => event("undone", "nothing is held", None),
        (_, true) => return was_held.into_iter().collect(),
        (_, false) => event("waits", "reservation requested", None),
    };
    was_held.into_iter().chain([then]).collect()
}

fn payment_lane(order: &Order, payment: Option<&Payment>) -> Vec<Event> {
    let captured = || event("done", "card charged", after(order, State::Confirmed));
    match (order.state(), payment.map(Payment::state)) {
        (State::Placed, _) => vec![event("waits", "waits for the stock", None)],
        (State::Confirmed, Some(payment::State::Refunded)) => {
            vec![captured(), event("undone", "all of it paid back", None)]
        }
        (State::Confirmed, _) => vec![captured()],
        (State::Cancelled, Some(payment::State::Declined)) => {
            vec![event("failed", "the provider declined the card", after(order, State::Cancelled))]
        }
        (State::Cancelled, Some(payment::State::Refunded)) => {
            vec![event("done", "card charged", None), event("undone", "paid back", None)]
        }
        (State::Cancelled, Some(payment::State::Captured)) => {
            vec![event("done", "card charged", None), event("waits", "is being paid back", None)]
        }
        (State::Cancelled, Some(payment::State::Voided)) => {
            vec![event("undone", "nothing was charged", None)]
        }
        // Payment begins with OrderStockHeld.
        (State::Cancelled, _) if after(order, State::StockHeld).is_none() => {
            vec![event("undone", "nothing was charged", None)]
        }
        (State::Cancelled, _) => {
            vec![event("waits", "a charge, if there was one, is paid back", None)]
        }
        (_, Some(_)) => vec![event("waits", "charge requested from the provider", None)],
        (_, None) => vec![event("waits", "charge requested", None)],
    }
}

/// A heading, and a sentence of what it means.
pub(super) fn summary(order: &Order) -> (&'static str, &'static str) {
    match order.state() {
        State::Confirmed => ("Your order is confirmed", "It is paid, and on its way."),
        State::Cancelled => {
            let why = match order.cancel_reason() {
                CancelReason::OutOfStock => {
                    "Somebody was faster. Nothing was charged, and what you wanted is in your cart again."
                }
                CancelReason::PaymentDeclined => {
                    "The card was declined. What was held for you is for others again, and what you wanted is in your cart again."
                }
                CancelReason::Deadline => {
                    "A part of the shop was away for too long. If the card was charged, it is paid back."
                }
                CancelReason::Customer => {
                    "You have cancelled it. If the card was charged, it is paid back."
                }
                CancelReason::Unspecified => "If the card was charged, it is paid back.",
            };
            ("Your order was undone", why)
        }
        State::Placed | State::StockHeld | State::Unspecified => (
            "Your order is being settled",
            "The services work on it; this page shows it as it happens.",
        ),
    }
}
