//! What customers were told, against what the records say: a pure function. The auditor's own checks
//! need no customers; these are the promises that only a customer can see broken.

use std::collections::BTreeMap;
use std::time::Duration;

use audit::{Basket, Check, Facts, State, Verdict};
use kernel::{OrderId, ProductId};
use uuid::Uuid;

use crate::calls::{self, Call, Outcome, Wish};

/// After the last fault every order has so long to end.
pub const ENDED_MAX: Duration = Duration::from_secs(60);

/// The auditor's verdict, and ours behind it. `rest` is how long the shop took to come to rest after
/// the last fault; none when it did not.
pub fn judge(audited: Verdict, facts: &Facts, calls: &[Call], rest: Option<Duration>) -> Verdict {
    let mut checks = audited.checks;
    checks.extend([
        acknowledged_orders_are_readable(calls),
        orders_end_in_time(facts, rest),
        one_key_names_one_order(calls),
        one_key_takes_one_body(calls),
        every_order_was_asked_for(facts, calls),
        acknowledged_cancellations_hold(facts, calls),
        returns_are_refunded_once(facts, calls),
        carts_lose_only_what_was_ordered(calls),
        nothing_is_bought_twice(facts, calls),
        unsold_goods_are_in_the_cart(facts, calls),
    ]);
    Verdict { checks }
}

/// While faults go on and afterwards: an order that was acknowledged is never "not found".
fn acknowledged_orders_are_readable(calls: &[Call]) -> Check {
    let reads = calls.iter().filter(|call| call.wish == Wish::Read);
    let things = reads.map(|call| match (&call.outcome, call.order) {
        (Outcome::Failed(code), Some(order)) if code.starts_with("404") => {
            Some(format!("order {order}: {code}"))
        }
        _ => None,
    });
    Check::of("acknowledged_orders_are_readable", "P5", things)
}

fn orders_end_in_time(facts: &Facts, rest: Option<Duration>) -> Check {
    let late = rest.is_none_or(|rest| rest > ENDED_MAX);
    let told = format!("the shop was still at work {} s after the faults", ENDED_MAX.as_secs());
    let check = Check::of("orders_end_in_time", "P6", [late.then_some(told)]);
    Check { looked_at: facts.orders.len() as u64, ..check }
}

fn one_key_names_one_order(calls: &[Call]) -> Check {
    let things = calls::keys(calls, Wish::Checkout).into_iter().map(|(name, key)| {
        let several = key.orders.len() > 1;
        several.then(|| format!("the key {name} was answered with the orders {:?}", key.orders))
    });
    Check::of("one_key_names_one_order", "P16", things)
}

fn one_key_takes_one_body(calls: &[Call]) -> Check {
    let both = [Wish::Checkout, Wish::Return].into_iter();
    let things = both.flat_map(|wish| calls::keys(calls, wish)).map(|(name, key)| {
        let several = key.bodies.len() > 1;
        several.then(|| format!("the key {name} was answered for {} bodies", key.bodies.len()))
    });
    Check::of("one_key_takes_one_body", "P16", things)
}

/// Orders that nobody was told of can only come from calls of which nobody knows.
fn every_order_was_asked_for(facts: &Facts, calls: &[Call]) -> Check {
    let told = calls::acknowledged(calls);
    let keys = calls::keys(calls, Wish::Checkout);
    let unsure = keys.values().filter(|key| key.answers == 0 && key.unknown).count();
    let silent = facts.orders.keys().filter(|id| !told.contains(id));
    let mut left = unsure;
    let silent = silent.map(|id| {
        let explained = left > 0;
        left = left.saturating_sub(1);
        (!explained).then(|| format!("nobody has asked for order {id}"))
    });
    let explained = facts.orders.keys().filter(|id| told.contains(id)).map(|_| None);
    Check::of("every_order_was_asked_for", "P16", explained.chain(silent))
}

fn acknowledged_cancellations_hold(facts: &Facts, calls: &[Call]) -> Check {
    let done = calls.iter().filter(|call| call.wish == Wish::Cancel && call.outcome == Outcome::Ok);
    let things = done.filter_map(|call| call.order).map(|id| {
        let state = facts.orders.get(&id).map(|order| order.state);
        (state != Some(State::Cancelled)).then(|| {
            format!("the cancellation of order {id} was acknowledged, and it is {state:?}")
        })
    });
    Check::of("acknowledged_cancellations_hold", "P8", things)
}

/// What an order gave back is at least what staff was told it has received, and at most what it said
/// it has. A return that was received several times counts once.
fn returns_are_refunded_once(facts: &Facts, calls: &[Call]) -> Check {
    let mut returns = BTreeMap::<(OrderId, &str), (i64, bool, bool)>::new();
    for call in calls.iter().filter(|call| call.wish == Wish::Receive) {
        let Some((order, key)) = call.order.zip(call.key.as_deref()) else { continue };
        let (minor, done, unsure) = returns.entry((order, key)).or_default();
        *minor = call.minor;
        *done |= call.outcome == Outcome::Ok;
        *unsure |= matches!(call.outcome, Outcome::Unknown(_));
    }
    let mut bounds = BTreeMap::<OrderId, (i64, i64)>::new();
    for ((order, _), (minor, done, unsure)) in returns {
        let (least, most) = bounds.entry(order).or_default();
        *least += if done { minor } else { 0 };
        *most += if done || unsure { minor } else { 0 };
    }
    let things = bounds.into_iter().map(|(id, (least, most))| {
        let refunded = facts.orders.get(&id).map_or(0, |order| order.refunded);
        (!(least..=most).contains(&refunded))
            .then(|| format!("order {id} gave back {refunded}; received were {least} to {most}"))
    });
    Check::of("returns_are_refunded_once", "P7", things)
}

/// An order that takes its pieces out of a cart a second time takes those that are there for the next.
fn carts_lose_only_what_was_ordered(calls: &[Call]) -> Check {
    let looks = calls.iter().filter(|call| call.wish == Wish::Keep);
    let things = looks.map(|call| match &call.outcome {
        Outcome::Failed(found) => Some(format!("customer {}: {found}", call.customer)),
        Outcome::Ok | Outcome::Unknown(_) => None,
    });
    Check::of("carts_lose_only_what_was_ordered", "P10", things)
}

/// What the hasty do: they only ever put one piece in and order, so their orders and carts tell all.
struct Hasty {
    user: Uuid,
    /// How often each product may have been put in.
    puts: BTreeMap<ProductId, i64>,
}

/// Whoever was told of an order: it says who they are.
fn hasty(facts: &Facts, calls: &[Call]) -> Vec<Hasty> {
    let mut puts = BTreeMap::<usize, BTreeMap<ProductId, i64>>::new();
    let hastened = calls.iter().filter(|call| call.wish == Wish::Hasten);
    for call in hastened.filter(|call| !matches!(call.outcome, Outcome::Failed(_))) {
        let Some(product) = call.key.as_deref().and_then(|key| key.parse().ok()) else { continue };
        *puts.entry(call.customer).or_default().entry(product).or_default() += 1;
    }
    let user = |customer| {
        let told =
            calls.iter().filter(|call| call.customer == customer && call.wish == Wish::Checkout);
        told.filter_map(|call| Some(facts.baskets.get(&call.order?)?.user)).next()
    };
    puts.into_iter()
        .filter_map(|(customer, puts)| Some(Hasty { user: user(customer)?, puts }))
        .collect()
}

impl Hasty {
    /// Their orders, in the order in which they took the lines out of the cart: an id is minted between
    /// looking into the cart and taking its lines, and begins with the time of this one machine.
    fn orders<'a>(&self, facts: &'a Facts) -> impl Iterator<Item = (OrderId, &'a Basket)> {
        let mine = facts.baskets.iter().filter(|(_, basket)| basket.user == self.user);
        mine.map(|(id, basket)| (*id, basket))
    }
}

/// Sold is at most what was put in: one piece each time.
fn nothing_is_bought_twice(facts: &Facts, calls: &[Call]) -> Check {
    let things = hasty(facts, calls).into_iter().flat_map(|hasty| {
        let mut sold = BTreeMap::<ProductId, i64>::new();
        for (id, basket) in hasty.orders(facts) {
            let confirmed = facts.orders.get(&id).is_some_and(|it| it.state == State::Confirmed);
            for (product, pieces) in basket.lines.iter().filter(|_| confirmed) {
                *sold.entry(*product).or_default() += pieces;
            }
        }
        let user = hasty.user;
        sold.into_iter().map(move |(product, sold)| {
            let put = hasty.puts.get(&product).copied().unwrap_or_default();
            (sold > put).then(|| format!("{user} put {product} in {put} times and bought {sold}"))
        })
    });
    Check::of("nothing_is_bought_twice", "P31", things)
}

/// Of the products of which something was not sold: if it was the last order, there is a piece in the
/// cart. (After an earlier one it was in the cart again, or put in anew, or it would not have been ordered.)
fn unsold_goods_are_in_the_cart(facts: &Facts, calls: &[Call]) -> Check {
    let things = hasty(facts, calls).into_iter().flat_map(|hasty| {
        let mut ends = BTreeMap::<ProductId, Vec<(OrderId, bool)>>::new();
        for (id, basket) in hasty.orders(facts) {
            for (product, _) in &basket.lines {
                ends.entry(*product).or_default().push((id, basket.unsold));
            }
        }
        ends.retain(|_, ends| ends.iter().any(|(_, unsold)| *unsold));
        let user = hasty.user;
        ends.into_iter().map(move |(product, ends)| {
            let (id, _) = ends.last().filter(|(_, unsold)| *unsold)?;
            let there = facts.carts.get(&user).and_then(|cart| cart.get(&product)).copied();
            (there != Some(1)).then(|| {
                format!("{id} was not sold, and {product} is in the cart of {user}: {there:?}")
            })
        })
    });
    Check::of("unsold_goods_are_in_the_cart", "P32", things)
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::Order;

    fn order() -> OrderId {
        OrderId::mint()
    }

    fn call(wish: Wish, key: &str, order: OrderId, outcome: Outcome) -> Call {
        let (key, order) = (Some(key.to_owned()), Some(order));
        Call { customer: 0, wish, key, body: 0, order, minor: 100, outcome }
    }

    fn unknown() -> Outcome {
        Outcome::Unknown("reset".into())
    }

    fn facts(orders: &[(OrderId, State, i64)]) -> Facts {
        let order = |(id, state, refunded): &(OrderId, State, i64)| {
            let (currency, total) = ("GBP".to_owned(), 500);
            let settled_after = Some(Duration::ZERO);
            let order =
                Order { state: *state, currency, total, refunded: *refunded, settled_after };
            (*id, order)
        };
        Facts { orders: orders.iter().map(order).collect(), ..Facts::default() }
    }

    /// The names of the checks that found something.
    fn broken(facts: &Facts, calls: &[Call], rest: Option<Duration>) -> Vec<&'static str> {
        let verdict = judge(Verdict { checks: Vec::new() }, facts, calls, rest);
        verdict.broken().map(|check| check.name).collect()
    }

    const SOON: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn a_run_that_kept_everything_is_clean() {
        let (a, b) = (order(), order());
        let calls = [
            call(Wish::Checkout, "k", a, unknown()),
            call(Wish::Checkout, "k", a, Outcome::Ok),
            call(Wish::Checkout, "k", a, Outcome::Ok),
            Call { body: 1, ..call(Wish::Checkout, "k", a, Outcome::Failed("reused".into())) },
            Call { order: None, ..call(Wish::Checkout, "lost", b, unknown()) },
            call(Wish::Return, "r", a, Outcome::Ok),
            Call { body: 1, ..call(Wish::Return, "r", a, Outcome::Failed("reused".into())) },
            call(Wish::Receive, "r", a, unknown()),
            call(Wish::Receive, "r", a, Outcome::Ok),
            call(Wish::Read, "", a, Outcome::Ok),
            call(Wish::Read, "", a, unknown()),
            call(Wish::Cancel, "", a, Outcome::Failed("order_confirmed".into())),
        ];
        let facts = facts(&[(a, State::Confirmed, 100), (b, State::Cancelled, 0)]);
        assert_eq!(broken(&facts, &calls, SOON), Vec::<&str>::new());
    }

    #[test]
    fn each_broken_promise_is_found_by_its_name() {
        let (a, b) = (order(), order());
        let there = facts(&[(a, State::Confirmed, 0)]);
        let placed = || call(Wish::Checkout, "k", a, Outcome::Ok);
        let missing = call(Wish::Read, "", a, Outcome::Failed("404 not_found".into()));
        let name = "acknowledged_orders_are_readable";
        assert_eq!(broken(&there, &[placed(), missing], SOON), [name]);
        assert_eq!(broken(&there, &[placed()], None), ["orders_end_in_time"]);
        assert_eq!(broken(&there, &[placed()], Some(ENDED_MAX * 2)), ["orders_end_in_time"]);
        let both = facts(&[(a, State::Confirmed, 0), (b, State::Confirmed, 0)]);
        let twice = [placed(), call(Wish::Checkout, "k", b, Outcome::Ok)];
        assert_eq!(broken(&both, &twice, SOON), ["one_key_names_one_order"]);
        let other_body = [placed(), Call { body: 1, ..placed() }];
        assert_eq!(broken(&there, &other_body, SOON), ["one_key_takes_one_body"]);
        let back = || call(Wish::Return, "r", a, Outcome::Ok);
        let other_pieces = [placed(), back(), Call { body: 2, ..back() }];
        assert_eq!(broken(&there, &other_pieces, SOON), ["one_key_takes_one_body"]);
        assert_eq!(broken(&both, &[placed()], SOON), ["every_order_was_asked_for"]);
        let gone = [placed(), call(Wish::Keep, "", a, Outcome::Failed("it is gone".into()))];
        assert_eq!(broken(&there, &gone, SOON), ["carts_lose_only_what_was_ordered"]);
        let cancelled = [placed(), call(Wish::Cancel, "", a, Outcome::Ok)];
        assert_eq!(broken(&there, &cancelled, SOON), ["acknowledged_cancellations_hold"]);
    }

    #[test]
    fn what_is_bought_twice_and_what_is_not_back_in_the_cart_is_found() {
        let (user, cup, bowl) = (Uuid::nil(), ProductId::mint(), ProductId::mint());
        let (a, b) = (order(), order());
        let put = |product: ProductId| Call {
            order: None,
            ..call(Wish::Hasten, &product.to_string(), a, Outcome::Ok)
        };
        let calls = [
            put(cup),
            call(Wish::Checkout, "1", a, Outcome::Ok),
            put(bowl),
            call(Wish::Checkout, "2", b, Outcome::Ok),
        ];
        let found = |second: &[ProductId], end: State, cart: Option<i64>| {
            let mut facts = facts(&[(a, State::Confirmed, 0), (b, end, 0)]);
            let basket = |products: &[ProductId], unsold| {
                let lines = products.iter().map(|product| (*product, 1)).collect();
                Basket { user, unsold, lines }
            };
            facts.baskets.insert(a, basket(&[cup], false));
            facts.baskets.insert(b, basket(second, end == State::Cancelled));
            facts.carts.entry(user).or_default().extend(cart.map(|pieces| (bowl, pieces)));
            broken(&facts, &calls, SOON)
        };
        assert_eq!(found(&[bowl], State::Confirmed, None), [""; 0]);
        assert_eq!(found(&[cup, bowl], State::Confirmed, None), ["nothing_is_bought_twice"]);
        assert_eq!(found(&[bowl], State::Cancelled, Some(1)), [""; 0]);
        for wrong in [None, Some(2)] {
            let found = found(&[bowl], State::Cancelled, wrong);
            assert_eq!(found, ["unsold_goods_are_in_the_cart"], "{wrong:?}");
        }
    }

    #[test]
    fn a_return_that_is_lost_or_counted_twice_is_found() {
        let a = order();
        let with = |refunded, outcomes: &[Outcome]| {
            let placed = call(Wish::Checkout, "k", a, Outcome::Ok);
            let returns =
                outcomes.iter().map(|outcome| call(Wish::Receive, "r", a, outcome.clone()));
            let calls: Vec<Call> = std::iter::once(placed).chain(returns).collect();
            broken(&facts(&[(a, State::Confirmed, refunded)]), &calls, SOON).len()
        };
        assert_eq!(with(100, &[unknown(), Outcome::Ok]), 0);
        assert_eq!(with(0, &[unknown()]) + with(100, &[unknown()]), 0, "both are right");
        assert_eq!(with(0, &[Outcome::Ok]), 1);
        assert_eq!(with(200, &[unknown(), Outcome::Ok]), 1);
        assert_eq!(with(100, &[Outcome::Failed("no".into())]), 1);
    }
}
