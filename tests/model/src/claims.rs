//! What must be true at every moment, and at the end.

use order::domain::checkout::State;
use order::domain::returns;
use payment::domain::RefundId;
use stateright::{Model as _, Property};

use crate::checkout::Checkout;
use crate::sale::{Decision, PRICE, Sale};
use crate::world::World;

/// P1–P4, P6, P7 and P40 of the promises, and that the model reaches what it is about.
pub fn all() -> Vec<Property<Checkout>> {
    vec![
        Property::always("nothing is sold twice", |_, world: &World| not_oversold(world)),
        Property::always("nobody is charged twice", |_, world: &World| {
            world.sales.iter().all(|sale| sale.provider.captures <= 1)
        }),
        Property::always("no more goes back than was taken", |_, world: &World| {
            world.sales.iter().all(|sale| left(sale) >= 0)
        }),
        Property::always("every order ends", |model, world| {
            moves(model, world) || world.sales.iter().all(|sale| sale.state.is_final())
        }),
        Property::always("nothing is held at the end", |model, world| {
            moves(model, world) || world.stock().reserved == 0
        }),
        Property::always("at the end the books agree", |model, world| {
            moves(model, world) || (stock_agrees(world) && world.sales.iter().all(money_agrees))
        }),
        Property::always("returns follow receipt", |_, world: &World| {
            world.sales.iter().all(follows_receipt)
        }),
        Property::always("every received return is refunded", |model, world| {
            let waits = |sale: &Sale| sale.back == Some(returns::State::Received);
            moves(model, world) || !world.sales.iter().any(waits)
        }),
        Property::sometimes("an order is confirmed", |_, world: &World| {
            world.sales.iter().any(|sale| sale.state == State::Confirmed)
        }),
        Property::sometimes("money arrives too late", |_, world: &World| {
            world.sales.iter().any(|sale| {
                matches!(sale.state, State::Cancelled(_))
                    && sale.provider.decision == Decision::Captured
            })
        }),
        Property::sometimes("a refund is given", |_, world: &World| {
            world.sales.iter().any(|sale| !sale.provider.refunds.is_empty())
        }),
    ]
}

/// Whether anything can still happen.
fn moves(model: &Checkout, world: &World) -> bool {
    let mut actions = Vec::new();
    model.actions(world, &mut actions);
    actions.into_iter().any(|action| model.next_state(world, action).is_some())
}

fn not_oversold(world: &World) -> bool {
    let stock = world.stock();
    (0..=stock.on_hand).contains(&stock.reserved) && stock.received == stock.on_hand + stock.shipped
}

/// What the provider has taken and not given back, in pence.
fn left(sale: &Sale) -> i64 {
    let taken = i64::from(sale.provider.captures) * sale.total().minor;
    taken - sale.provider.refunds.values().sum::<i64>()
}

/// A confirmed order has cost what it kept; any other has cost nothing.
fn money_agrees(sale: &Sale) -> bool {
    left(sale) == kept(sale) * PRICE
}

/// Nothing is refunded or on the shelf again for a return that staff has not received.
fn follows_receipt(sale: &Sale) -> bool {
    let of_return = |id: &RefundId| *id != RefundId::Cancellation;
    let restocked = !sale.reservation.returns.is_empty();
    sale.is_back() || !(restocked || sale.provider.refunds.keys().any(of_return))
}

/// What has left the shelf is what confirmed orders kept.
fn stock_agrees(world: &World) -> bool {
    world.stock().shipped == world.sales.iter().map(kept).sum::<i64>()
}

/// The pieces that the customer has at the end.
fn kept(sale: &Sale) -> i64 {
    match sale.state {
        State::Confirmed => sale.pieces - i64::from(sale.is_back()),
        _ => 0,
    }
}
