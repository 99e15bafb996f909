//! From facts to verdicts: a pure function. Wherever two contexts have a record of the same thing,
//! or we and the provider, the two are compared; a record that only agrees with itself proves little.

mod money;
mod returns;
mod stock;

use std::collections::BTreeSet;

use kernel::OrderId;

use crate::facts::{DeadLetter, Facts, Repeated, State, Unpublished};
use crate::verdict::{Check, Verdict};

/// Looks at every promise that can be read from records afterwards.
pub fn judge(facts: &Facts, acknowledged: &[OrderId]) -> Verdict {
    let checks = vec![
        stock::nothing_is_oversold(facts),
        stock::stock_is_conserved(facts),
        stock::reservations_add_up(facts),
        stock::what_was_sold_was_shipped(facts),
        money::nobody_is_charged_twice(facts),
        money::cancelled_orders_cost_nothing(facts),
        money::confirmed_orders_cost_their_total(facts),
        money::ledger_sums_to_zero(facts),
        money::ledger_agrees_with_the_provider(facts),
        money::nothing_is_captured_after_its_pay_by(facts),
        returns::returns_follow_receipt(facts),
        returns::refunds_end(facts),
        acknowledged_orders_exist(facts, acknowledged),
        orders_have_ended(facts),
        ended_orders_hold_nothing(facts),
        events_are_published(facts),
        events_happened_once(facts),
        no_event_is_dead_lettered(facts),
    ];
    Verdict { checks }
}

fn acknowledged_orders_exist(facts: &Facts, acknowledged: &[OrderId]) -> Check {
    let things = acknowledged.iter().map(|id| {
        let lost = !facts.orders.contains_key(id);
        lost.then(|| format!("order {id} was acknowledged and is not there"))
    });
    Check::of("acknowledged_orders_exist", "P5", things)
}

fn orders_have_ended(facts: &Facts) -> Check {
    let things = facts.orders.iter().map(|(id, order)| {
        (order.state == State::Open)
            .then(|| format!("order {id} is neither confirmed nor cancelled"))
    });
    Check::of("orders_have_ended", "P6", things)
}

fn ended_orders_hold_nothing(facts: &Facts) -> Check {
    let holding: BTreeSet<OrderId> = facts.holding.iter().copied().collect();
    let ended = facts.orders.iter().filter(|(_, order)| order.state != State::Open);
    let of_ended = ended.map(|(id, _)| {
        holding.contains(id).then(|| format!("order {id} has ended and still holds stock"))
    });
    let of_nobody = holding.iter().filter(|id| !facts.orders.contains_key(id));
    let of_nobody = of_nobody.map(|id| Some(format!("stock is held for {id}, which is no order")));
    let kept = facts.checkouts.iter().filter_map(|id| match facts.orders.get(id) {
        Some(order) if order.state == State::Open => None,
        Some(_) => Some(format!("order {id} has ended, and its lines are in no cart")),
        None => Some(format!("lines have left a cart for {id}, which is no order")),
    });
    let all = of_ended.chain(of_nobody).chain(kept.map(Some));
    Check::of("ended_orders_hold_nothing", "P7", all)
}

/// Looked at is every event; those that wait are told by database.
fn events_are_published(facts: &Facts) -> Check {
    let told = facts.unpublished.iter().map(|Unpublished { database, events }| {
        format!("{events} events wait in the outbox of {database}")
    });
    counted("events_are_published", "P9", facts, told)
}

fn events_happened_once(facts: &Facts) -> Check {
    let told = facts
        .repeated
        .iter()
        .map(|Repeated { kind, aggregate, times }| format!("{kind} of {aggregate}: {times} times"));
    counted("events_happened_once", "P10", facts, told)
}

fn counted(
    name: &'static str,
    promise: &'static str,
    facts: &Facts,
    told: impl Iterator<Item = String>,
) -> Check {
    let check = Check::of(name, promise, told.map(Some));
    Check { looked_at: facts.events, ..check }
}

fn no_event_is_dead_lettered(facts: &Facts) -> Check {
    let told = facts
        .dead_letters
        .iter()
        .map(|DeadLetter { database, kind, error }| format!("{kind} at {database}: {error}"));
    let check = Check::of("no_event_is_dead_lettered", "P14", told.map(Some));
    Check { looked_at: facts.databases, ..check }
}
