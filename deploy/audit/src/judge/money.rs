//! Money: what the provider took and gave back, what we booked, and what the orders say. The
//! provider's ledger is the truth: it is the one that moved anything.

use std::collections::{BTreeMap, BTreeSet};

use kernel::OrderId;

use crate::facts::{Balance, Booked, Facts, Order, Sent, State};
use crate::verdict::Check;

pub(super) fn nobody_is_charged_twice(facts: &Facts) -> Check {
    let things = facts.provider.iter().map(|(id, booked)| {
        let times = booked.captures;
        (times > 1).then(|| format!("order {id} was charged {times} times"))
    });
    Check::of("nobody_is_charged_twice", "P3", things)
}

/// Orders, and what each has cost its customer by the provider's ledger, less what went back by hand.
fn orders(facts: &Facts, state: State) -> impl Iterator<Item = (&OrderId, &Order, i64)> {
    let orders = facts.orders.iter().filter(move |(_, order)| order.state == state);
    orders.map(|(id, order)| {
        let by_hand = facts.booked.get(id).map_or(0, |booked| booked.by_hand);
        (id, order, facts.provider.get(id).map_or(0, Booked::net) - by_hand)
    })
}

/// What the provider refuses to give back is still owed, until staff have decided.
fn awaiting(facts: &Facts, order: &OrderId) -> i64 {
    facts.awaiting.get(order).copied().unwrap_or_default()
}

pub(super) fn cancelled_orders_cost_nothing(facts: &Facts) -> Check {
    let things = orders(facts, State::Cancelled).map(|(id, _, paid)| {
        let cost = paid - awaiting(facts, id);
        (cost != 0).then(|| format!("order {id} is cancelled and cost its customer {cost}"))
    });
    Check::of("cancelled_orders_cost_nothing", "P4", things)
}

pub(super) fn confirmed_orders_cost_their_total(facts: &Facts) -> Check {
    let things = orders(facts, State::Confirmed).map(|(id, order, paid)| {
        let owed = order.total - order.refunded;
        let currency = facts.provider.get(id).map_or("", |booked| &booked.currency);
        let wrong = paid != owed || currency != order.currency;
        wrong.then(|| {
            format!("order {id} costs {owed} {}, paid is {paid} {currency}", order.currency)
        })
    });
    Check::of("confirmed_orders_cost_their_total", "P4", things)
}

pub(super) fn ledger_sums_to_zero(facts: &Facts) -> Check {
    let mut sums = BTreeMap::<&str, i64>::new();
    for Balance { currency, minor, .. } in &facts.balances {
        *sums.entry(currency).or_default() += minor;
    }
    let things = sums.into_iter().map(|(currency, sum)| {
        (sum != 0).then(|| format!("the accounts in {currency} sum to {sum}"))
    });
    Check::of("ledger_sums_to_zero", "P4", things)
}

/// Order by order; and the provider moved nothing that is nobody's.
pub(super) fn ledger_agrees_with_the_provider(facts: &Facts) -> Check {
    let nothing = Booked::default();
    let ids: BTreeSet<&OrderId> = facts.booked.keys().chain(facts.provider.keys()).collect();
    let compared = ids.into_iter().map(|id| {
        let ours = facts.booked.get(id).unwrap_or(&nothing);
        let theirs = facts.provider.get(id).unwrap_or(&nothing);
        let ours = &Booked { by_hand: 0, ..ours.clone() }; // of which the provider knows nothing
        if !facts.orders.contains_key(id) {
            return Some(format!("money was moved for {id}, which is no order"));
        }
        (ours != theirs).then(|| {
            format!(
                "order {id}: we booked {} taken, {} given back; the provider {} and {}",
                ours.captured, ours.refunded, theirs.captured, theirs.refunded
            )
        })
    });
    let strangers = facts.strangers.iter();
    let strangers = strangers.map(|name| Some(format!("the provider moved money for {name:?}")));
    Check::of("ledger_agrees_with_the_provider", "P4", compared.chain(strangers))
}

/// A capture that cannot be answered before the checkout's deadline is money that only comes to go
/// back.
pub(super) fn nothing_is_captured_after_its_pay_by(facts: &Facts) -> Check {
    let things = facts.sent.iter().map(|Sent { order, after_pay_by }| {
        after_pay_by.then(|| format!("a capture was sent for order {order} after its pay-by"))
    });
    Check::of("nothing_is_captured_after_its_pay_by", "P8", things)
}
