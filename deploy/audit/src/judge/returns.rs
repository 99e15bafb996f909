//! Returns: what staff has received, by the order context, against what is on the shelf again and what
//! was paid back.

use std::collections::BTreeSet;

use crate::facts::{Facts, Refund, Return, ReturnKey};
use crate::verdict::Check;

fn received(facts: &Facts, key: &ReturnKey) -> bool {
    matches!(facts.returns.get(key), Some(Return::Received | Return::Refunded))
}

/// Looked at is every return that anybody has a record of.
pub(super) fn returns_follow_receipt(facts: &Facts) -> Check {
    let known = facts.returns.keys().chain(&facts.restocked).chain(facts.refunds.keys());
    let things = known.collect::<BTreeSet<_>>().into_iter().map(|key| {
        let effects = [
            (facts.restocked.contains(key), "is on the shelf"),
            (facts.refunds.contains_key(key), "is refunded"),
        ];
        let (order, id) = key;
        let early = effects.iter().find(|(done, _)| *done && !received(facts, key));
        early.map(|(_, what)| format!("return {id} of order {order} {what} and was not received"))
    });
    Check::of("returns_follow_receipt", "P40", things)
}

/// What was received is refunded, and the order knows of it; or staff knows that the provider refused.
pub(super) fn refunds_end(facts: &Facts) -> Check {
    let of_received = facts.returns.iter().filter(|(key, _)| received(facts, key));
    let things = of_received.map(|(key, state)| {
        let (order, id) = key;
        let ended = match facts.refunds.get(key) {
            Some(Refund::Given) => *state == Return::Refunded,
            Some(Refund::WaitsForStaff) => *state == Return::Received,
            Some(Refund::UnderWay) | None => false,
        };
        (!ended).then(|| {
            format!("return {id} of order {order} was received, and its refund has not ended")
        })
    });
    Check::of("refunds_end", "P40", things)
}
