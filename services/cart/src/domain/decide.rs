//! Every change of a cart, as a function of the cart and what is asked.

use std::collections::{BTreeMap, HashMap};

use kernel::ProductId;

use super::{Cart, Change, Line, Rejection, State};

/// Real invoices have more than a thousand lines.
pub const LINES_MAX: usize = 2_000;
/// Of one product.
pub const QUANTITY_MAX: i64 = 10_000;

/// What can be asked of a cart.
#[derive(Clone, Debug)]
pub enum Command {
    /// Have exactly this quantity of a product.
    Put(ProductId, i64),
    /// Have none of a product.
    Remove(ProductId),
    /// Have nothing.
    Clear,
    /// Subtract what was ordered, and leave what was added since.
    TakeOut(Vec<(ProductId, i64)>),
    /// Add the lines of a guest's cart, or of a checkout that sold nothing. Never refused, because
    /// nobody is there to correct it: quantities are capped, and what does not fit stays out.
    TakeIn(Vec<Line>),
}

/// Decides what a command does to a cart. A command that finds its effect done changes nothing.
pub fn decide(cart: &Cart, command: &Command) -> Result<Change, Rejection> {
    match command {
        Command::Put(product, quantity) => put(cart, *product, *quantity),
        Command::Remove(product) => Ok(remove(cart, |line| line.product == *product)),
        Command::Clear => Ok(remove(cart, |_| true)),
        Command::TakeOut(ordered) => Ok(take_out(cart, ordered)),
        Command::TakeIn(lines) => Ok(take_in(cart, lines)),
    }
}

fn put(cart: &Cart, product: ProductId, quantity: i64) -> Result<Change, Rejection> {
    if cart.state == State::Erased {
        return Err(Rejection::AccountErased);
    }
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Rejection::QuantityOutOfRange);
    }
    let line = match cart.line(product) {
        Some(line) if line.quantity == quantity => return Ok(Change::default()),
        Some(line) => Line { quantity, ..*line },
        None if cart.lines.len() >= LINES_MAX => return Err(Rejection::TooManyLines),
        None => Line { product, quantity, position: cart.next_position() },
    };
    Ok(Change(BTreeMap::from([(product, Some(line))])))
}

fn remove(cart: &Cart, which: impl Fn(&Line) -> bool) -> Change {
    Change(cart.lines.iter().filter(|line| which(line)).map(|line| (line.product, None)).collect())
}

fn take_out(cart: &Cart, ordered: &[(ProductId, i64)]) -> Change {
    let mut out = HashMap::<ProductId, i64>::new();
    for &(product, quantity) in ordered {
        let sum = out.entry(product).or_default();
        *sum = sum.saturating_add(quantity.max(0));
    }
    let left = |line: &Line| {
        let quantity = line.quantity.saturating_sub(*out.get(&line.product)?);
        (quantity != line.quantity).then_some(quantity)
    };
    let change = |line: &Line| {
        let quantity = left(line)?;
        Some((line.product, (quantity > 0).then_some(Line { quantity, ..*line })))
    };
    Change(cart.lines.iter().filter_map(change).collect())
}

fn take_in(cart: &Cart, lines: &[Line]) -> Change {
    if cart.state == State::Erased {
        return Change::default();
    }
    let own: HashMap<ProductId, &Line> =
        cart.lines.iter().map(|line| (line.product, line)).collect();
    let mut new = (cart.lines.len()..LINES_MAX).zip(cart.next_position()..);
    let mut change = BTreeMap::new();
    for &Line { product, quantity, .. } in lines {
        let line = match own.get(&product) {
            Some(line) => {
                let quantity = line.quantity.saturating_add(quantity).min(QUANTITY_MAX);
                (quantity != line.quantity).then_some(Line { quantity, ..**line })
            }
            None => new.next().map(|(_, position)| Line { product, quantity, position }),
        };
        if let Some(line) = line {
            change.insert(product, Some(line));
        }
    }
    Change(change)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn product(n: u64) -> ProductId {
        Uuid::from_u64_pair(0, n).into()
    }

    fn cart(quantities: &[i64]) -> Cart {
        let line = |(n, &quantity): (usize, &i64)| Line {
            product: product(n as u64),
            quantity,
            position: n as i64,
        };
        let lines = quantities.iter().enumerate().map(line).collect();
        Cart { version: 1, lines, ..Cart::default() }
    }

    fn after(cart: &Cart, command: &Command) -> Cart {
        let mut cart = cart.clone();
        let change = decide(&cart, command).unwrap();
        cart.apply(&change);
        cart
    }

    #[test]
    fn a_quantity_is_one_to_ten_thousand() {
        for wrong in [i64::MIN, -1, 0, 10_001, i64::MAX] {
            let refused = decide(&cart(&[]), &Command::Put(product(0), wrong));
            assert_eq!(refused.unwrap_err(), Rejection::QuantityOutOfRange, "{wrong}");
        }
        for right in [1, 10_000] {
            assert_eq!(
                after(&cart(&[]), &Command::Put(product(0), right)).lines[0].quantity,
                right
            );
        }
    }

    #[test]
    fn a_full_cart_takes_more_of_what_is_in_it_but_nothing_new() {
        let full = cart(&[1; LINES_MAX]);
        let new = Command::Put(product(LINES_MAX as u64), 1);
        assert_eq!(decide(&full, &new).unwrap_err(), Rejection::TooManyLines);
        assert_eq!(after(&full, &Command::Put(product(7), 9)).lines[7].quantity, 9);
        let guest = [Line { product: product(LINES_MAX as u64), quantity: 1, position: 0 }];
        assert_eq!(after(&full, &Command::TakeIn(guest.into())), full);
    }

    #[test]
    fn products_keep_the_order_in_which_they_were_put_in() {
        let mut cart = Cart::default();
        for n in [5, 3, 9] {
            cart = after(&cart, &Command::Put(product(n), 1));
        }
        cart = after(&cart, &Command::Put(product(3), 2));
        cart = after(&cart, &Command::Remove(product(5)));
        cart = after(&cart, &Command::Put(product(5), 1));
        let order: Vec<_> = cart.lines.iter().map(|line| line.product).collect();
        assert_eq!(order, [3, 9, 5].map(product));
        assert_eq!(cart.version, 6);
    }

    #[test]
    fn an_order_takes_out_what_it_bought_and_leaves_what_came_since() {
        let after =
            after(&cart(&[5, 2, 3]), &Command::TakeOut(vec![(product(0), 2), (product(1), 2)]));
        let left: Vec<_> = after.lines.iter().map(|line| (line.product, line.quantity)).collect();
        assert_eq!(left, [(product(0), 3), (product(2), 3)]);
        assert_eq!(after.version, 2);
    }

    #[test]
    fn quantities_are_added_in_a_merge_and_capped() {
        let guest = cart(&[9_999, 4]).lines;
        let merged = after(&cart(&[2]), &Command::TakeIn(guest));
        let quantities: Vec<_> = merged.lines.iter().map(|line| line.quantity).collect();
        assert_eq!(quantities, [10_000, 4]);
    }

    #[test]
    fn the_cart_of_an_erased_account_stays_empty() {
        let erased = Cart { state: State::Erased, version: 4, ..Cart::default() };
        let refused = decide(&erased, &Command::Put(product(0), 1)).unwrap_err();
        assert_eq!(refused, Rejection::AccountErased);
        assert_eq!(after(&erased, &Command::TakeIn(cart(&[1]).lines)), erased);
    }

    fn command() -> impl Strategy<Value = Command> {
        let line = (0..6u64, 1..50i64);
        let lines = proptest::collection::vec(line.clone(), 0..8);
        prop_oneof![
            4 => line.prop_map(|(n, quantity)| Command::Put(product(n), quantity)),
            1 => (0..6u64).prop_map(|n| Command::Remove(product(n))),
            1 => Just(Command::Clear),
            2 => lines.clone().prop_map(|lines| {
                Command::TakeOut(lines.into_iter().map(|(n, q)| (product(n), q)).collect())
            }),
            1 => proptest::collection::vec(1..9_000i64, 0..6)
                .prop_map(|quantities| Command::TakeIn(cart(&quantities).lines)),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_a_cart_stays_in_its_limits(
            commands in proptest::collection::vec(command(), 0..40)
        ) {
            let mut cart = Cart::default();
            for command in commands {
                let next = after(&cart, &command);
                prop_assert!(next.lines.iter().all(|line| (1..=QUANTITY_MAX).contains(&line.quantity)));
                prop_assert!(next.lines.is_sorted_by(|a, b| a.position < b.position));
                prop_assert_eq!(next.version > cart.version, next.lines != cart.lines);
                cart = next;
            }
        }

        #[test]
        fn put_remove_and_clear_are_idempotent(
            quantities in proptest::collection::vec(1..100i64, 0..6), n in 0..6u64, quantity in 1..100i64
        ) {
            for command in [Command::Put(product(n), quantity), Command::Remove(product(n)), Command::Clear] {
                let once = after(&cart(&quantities), &command);
                prop_assert_eq!(after(&once, &command), once);
            }
        }

        #[test]
        fn orders_take_out_the_same_whichever_comes_first(
            quantities in proptest::collection::vec(1..100i64, 0..6),
            first in proptest::collection::vec((0..6u64, 1..100i64), 0..8),
            second in proptest::collection::vec((0..6u64, 1..100i64), 0..8),
        ) {
            let out = |order: &[(u64, i64)]| {
                Command::TakeOut(order.iter().map(|(n, q)| (product(*n), *q)).collect())
            };
            let (first, second) = (out(&first), out(&second));
            let cart = cart(&quantities);
            let one_way = after(&after(&cart, &first), &second);
            let other_way = after(&after(&cart, &second), &first);
            prop_assert_eq!(one_way.lines, other_way.lines);
        }

        #[test]
        fn one_change_after_another_is_their_sum(
            quantities in proptest::collection::vec(1..100i64, 0..6),
            commands in proptest::collection::vec(command(), 0..10)
        ) {
            let before = cart(&quantities);
            let (mut step_by_step, mut sum) = (before.clone(), Change::default());
            for command in commands {
                let change = decide(&step_by_step, &command).unwrap();
                step_by_step.apply(&change);
                sum.then(change);
            }
            let mut at_once = before;
            at_once.apply(&sum);
            prop_assert_eq!(at_once.lines, step_by_step.lines);
        }
    }
}
