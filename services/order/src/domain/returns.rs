//! Returning lines of a confirmed order: refunded in part, restocked, never more than was sold.

use std::collections::BTreeMap;

use kernel::{Money, ProductId, ReturnId};

use super::checkout::State;
use super::{Line, Order, Rejection, Return};

/// Decides on a return that was not seen before. Items of one product are added up.
pub fn decide(
    order: &Order,
    id: ReturnId,
    items: &[(ProductId, i64)],
) -> Result<Return, Rejection> {
    if order.state != State::Confirmed {
        return Err(Rejection::OrderNotConfirmed);
    }
    let mut wanted = BTreeMap::<ProductId, i64>::new();
    for &(product, quantity) in items {
        let sum = wanted.entry(product).or_default();
        *sum = sum.saturating_add(quantity);
    }
    if wanted.is_empty() {
        return Err(Rejection::NothingToReturn);
    }
    let mut refund = Money::zero(order.total.currency);
    for (&product, &quantity) in &wanted {
        let line = returnable(&order.lines, product, quantity)?;
        let part = line.unit_price.times(quantity).map_err(|_| Rejection::AmountOutOfRange)?;
        refund = refund.plus(part).map_err(|_| Rejection::AmountOutOfRange)?;
    }
    Ok(Return { id, items: wanted.into_iter().collect(), refund })
}

fn returnable(lines: &[Line], product: ProductId, quantity: i64) -> Result<&Line, Rejection> {
    let line = lines.iter().find(|line| line.product == product);
    let left = line.map_or(0, |line| line.quantity - line.returned);
    match line {
        Some(line) if (1..=left).contains(&quantity) => Ok(line),
        _ => Err(Rejection::NotReturnable { product, returnable: left }),
    }
}

#[cfg(test)]
mod tests {
    use kernel::{OrderId, PaymentMethodId, Shard, UserId};
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::super::checkout::Reason;
    use super::*;

    fn order(state: State, quantities: &[i64]) -> Order {
        let user = UserId::mint();
        let line = |&quantity: &i64| Line {
            product: ProductId::mint(),
            sku: String::new(),
            name: String::new(),
            quantity,
            unit_price: Money::gbp(250),
            returned: 0,
        };
        Order {
            id: OrderId::mint_on(Shard(1)),
            user,
            cart: (user.into(), 1),
            state,
            payment_method: PaymentMethodId::mint(),
            total: Money::gbp(250 * quantities.iter().sum::<i64>()),
            refunded: Money::gbp(0),
            lines: quantities.iter().map(line).collect(),
            version: 3,
            placed_at: OffsetDateTime::UNIX_EPOCH,
            stock_held_at: None,
            ended_at: None,
        }
    }

    #[test]
    fn only_a_confirmed_order_takes_returns() {
        for state in [State::Placed, State::StockHeld, State::Cancelled(Reason::Customer)] {
            let order = order(state, &[2]);
            let items = [(order.lines[0].product, 1)];
            let refused = decide(&order, ReturnId::mint(), &items).unwrap_err();
            assert_eq!(refused, Rejection::OrderNotConfirmed);
        }
    }

    #[test]
    fn nothing_and_strangers_and_wrong_numbers_are_refused() {
        let order = order(State::Confirmed, &[2]);
        let cup = order.lines[0].product;
        let refuse = |items: &[_]| decide(&order, ReturnId::mint(), items).unwrap_err().code();
        assert_eq!(refuse(&[]), "nothing_to_return");
        assert_eq!(refuse(&[(ProductId::mint(), 1)]), "not_returnable");
        for wrong in [0, -1, 3, i64::MAX] {
            assert_eq!(refuse(&[(cup, wrong)]), "not_returnable");
        }
        assert_eq!(refuse(&[(cup, 2), (cup, 1)]), "not_returnable");
    }

    proptest! {
        #[test]
        fn any_sequence_of_returns_refunds_at_most_the_total(
            tries in proptest::collection::vec((0..3usize, 1..6i64), 0..30)
        ) {
            let mut order = order(State::Confirmed, &[4, 1, 7]);
            let mut refunded = order.refunded;
            for (line, quantity) in tries {
                let items = [(order.lines[line].product, quantity)];
                if let Ok(accepted) = decide(&order, ReturnId::mint(), &items) {
                    order.lines[line].returned += quantity;
                    refunded = refunded.plus(accepted.refund).unwrap();
                }
            }
            prop_assert!(refunded.minor <= order.total.minor);
            let back: i64 = order.lines.iter().map(|line| line.returned).sum();
            prop_assert_eq!(refunded.minor, back * 250);
        }
    }
}
