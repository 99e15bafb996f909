//! Every order of events of a checkout, and mistakes that must be found.

use model::{Action, Bug, Carts, Checkout, Mistake, Step};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use stateright::{Checker as _, Expectation, Model as _};

/// Two pieces, of which one comes back; everything that can happen, again and again.
fn one_order() -> Checkout {
    Checkout { orders: vec![2], stock: 2, repeats: true, second_thoughts: true, bug: None }
}

/// Two orders want the only piece.
fn two_orders() -> Checkout {
    Checkout { orders: vec![1, 1], stock: 1, repeats: false, second_thoughts: false, bug: None }
}

fn holds(what: &str, model: Checkout) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{what}: {states} states, depth {depth}");
    checker.assert_properties();
    assert!(checker.is_done());
}

/// The rest, as far as so many steps lead. "Every order ends" cannot be said of what was broken off.
fn holds_for(steps: usize, what: &str, model: Checkout) {
    let checker = model.checker().threads(2).target_max_depth(steps).spawn_bfs().join();
    println!("{what}: {} states in {steps} steps", checker.unique_state_count());
    for claim in checker.model().properties() {
        if claim.expectation == Expectation::Always {
            checker.assert_no_discovery(claim.name);
        }
    }
}

#[test]
fn one_order_with_everything_that_can_happen() {
    holds("one order", one_order());
}

#[test]
fn two_orders_for_one_piece() {
    holds("two orders for one piece", two_orders());
}

#[test]
fn two_orders_with_everything_that_can_happen() {
    holds("two orders with everything", Checkout { orders: vec![2, 1], ..one_order() });
}

#[test]
fn three_orders_for_two_pieces_as_far_as_it_goes() {
    holds_for(16, "three orders", Checkout { orders: vec![1, 1, 1], stock: 2, ..two_orders() });
}

/// Each mistake with the claim that it breaks. A model in which it stays unseen proves nothing.
const MISTAKES: [(Bug, &str); 10] = [
    (Bug::BlindRetry, "nobody is charged twice"),
    (Bug::NoTombstoneInStock, "nothing is held at the end"),
    (Bug::NoTombstoneInPayment, "at the end the books agree"),
    (Bug::LateCaptureIsKept, "at the end the books agree"),
    (Bug::ReservationsExpire, "at the end the books agree"),
    (Bug::PaidIsConfirmed, "at the end the books agree"),
    (Bug::ForgottenLease, "at the end the books agree"),
    (Bug::AckBeforeCommit, "nothing is held at the end"),
    (Bug::ReturnsUnseen, "returns follow receipt"),
    (Bug::RefundUnheard, "every received return is refunded"),
];

#[test]
fn every_mistake_is_found() {
    for (bug, claim) in MISTAKES {
        let model = Checkout { repeats: false, bug: Some(bug), ..one_order() };
        let checker = model.checker().threads(2).spawn_bfs().join();
        let found = checker.discovery(claim);
        let found = found.unwrap_or_else(|| panic!("{bug:?} was not seen to break: {claim}"));
        let trace: Vec<Action> = found.into_actions();
        println!("{bug:?} breaks \"{claim}\" in {} steps: {trace:?}", trace.len());
    }
}

/// Two requests that check out what is put in meanwhile, in any order.
const CARTS: Carts = Carts { changes: 3, requests: 2, bug: None };

#[test]
fn a_cart_and_two_checkouts_in_any_order() {
    let checker = CARTS.checker().threads(2).spawn_bfs().join();
    println!("a cart and two checkouts: {} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.is_done());
}

/// Longer stories than can be told all: eight checkouts, sixteen changes of the cart.
#[test]
fn ten_thousand_random_interleavings_buy_nothing_twice() {
    let model = Carts { changes: 16, requests: 8, bug: None };
    let mut orders = 0;
    for seed in 0..10_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut shop = model.init_states().remove(0);
        let mut story = Vec::new();
        for _ in 0..random.random_range(20..200) {
            let steps = model.steps(&shop);
            let Some(step) = steps.choose(&mut random) else { break };
            let Some(next) = model.next_state(&shop, *step) else { continue };
            story.push(*step);
            shop = next;
            assert_eq!(model.broken(&shop), None, "seed {seed}: {story:?}");
        }
        orders += shop.orders.len();
    }
    println!("10,000 random interleavings: {orders} orders");
    assert!(orders > 5_000, "too few to say anything: {orders}");
}

const CART_MISTAKES: [(Mistake, &str); 5] = [
    (Mistake::LinesLeaveLater, "what was put in once is bought once at most"),
    (Mistake::NoFence, "what was put in once is bought once at most"),
    (Mistake::AnyVersion, "an order has what left the cart for it"),
    (Mistake::ChangesForgotten, "the customer's last word on a line stands"),
    (Mistake::TakesUpAll, "what the customer took back is not taken up"),
];

#[test]
fn every_mistake_with_a_cart_is_found() {
    for (bug, claim) in CART_MISTAKES {
        let checker = Carts { bug: Some(bug), ..CARTS }.checker().threads(2).spawn_bfs().join();
        let found = checker.discovery(claim);
        let found = found.unwrap_or_else(|| panic!("{bug:?} was not seen to break: {claim}"));
        let steps: Vec<Step> = found.into_actions();
        println!("{bug:?} breaks \"{claim}\" in {} steps: {steps:?}", steps.len());
    }
}
