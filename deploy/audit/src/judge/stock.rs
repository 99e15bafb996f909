//! Pieces: what was delivered, held, sent, sold.

use kernel::ProductId;

use crate::facts::{Facts, Shelf};
use crate::verdict::Check;

fn each(
    name: &'static str,
    promise: &'static str,
    facts: &Facts,
    wrong: impl Fn(&ProductId, &Shelf) -> Option<String>,
) -> Check {
    Check::of(name, promise, facts.shelves.iter().map(|(id, shelf)| wrong(id, shelf)))
}

/// By the stock's own row, and by the delivery notes against the orders, which know nothing of it.
pub(super) fn nothing_is_oversold(facts: &Facts) -> Check {
    each("nothing_is_oversold", "P1", facts, |id, shelf| {
        let Shelf { received, reserved, shipped, delivered, held, sold, .. } = *shelf;
        let over = reserved + shipped > received || held + sold > delivered;
        over.then(|| {
            format!(
                "product {id}: {reserved} reserved and {shipped} shipped of {received}; {held} held \
                 and {sold} sold of {delivered} delivered"
            )
        })
    })
}

pub(super) fn stock_is_conserved(facts: &Facts) -> Check {
    each("stock_is_conserved", "P2", facts, |id, shelf| {
        let Shelf { received, on_hand, shipped, delivered, .. } = *shelf;
        let drift = received != on_hand + shipped || received != delivered;
        drift.then(|| {
            format!(
                "product {id}: received {received}, delivered {delivered}, but {on_hand} on hand \
                 and {shipped} shipped"
            )
        })
    })
}

pub(super) fn reservations_add_up(facts: &Facts) -> Check {
    each("reservations_add_up", "P2", facts, |id, shelf| {
        let Shelf { reserved, shipped, held, sent, returned, .. } = *shelf;
        let drift = reserved != held || shipped != sent - returned;
        drift.then(|| {
            format!(
                "product {id}: {reserved} reserved and {shipped} shipped, but reservations hold \
                 {held}, sent {sent} and got {returned} back"
            )
        })
    })
}

/// The order context sold it, the product context shipped it.
pub(super) fn what_was_sold_was_shipped(facts: &Facts) -> Check {
    each("what_was_sold_was_shipped", "P2", facts, |id, shelf| {
        let Shelf { shipped, sold, .. } = *shelf;
        (shipped != sold).then(|| format!("product {id}: {sold} sold, {shipped} shipped"))
    })
}
