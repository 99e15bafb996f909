//! Lines that have left a cart for an order. Two orders never have the same lines, because they leave
//! before the order is written and come back only when it is certain that nothing was sold.

use kernel::{OrderId, ProductId};

use super::{Command, Line};

/// What an order has of a cart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkout {
    /// Whose lines they are now.
    pub order: OrderId,
    /// The version of the cart that they were taken from.
    pub cart_version: i64,
    /// In the order of the cart.
    pub lines: Vec<(ProductId, i64)>,
    /// Products that the user has put in or removed since.
    pub changed: Vec<ProductId>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its events will say.
    UnderWay,
    /// Sold, or cancelled by its user: nothing comes back.
    Closed,
    /// Not sold.
    Returned,
}

/// Which products a command says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// None: it is not the user's own wish about a line.
    Nothing,
    /// This one.
    Product(ProductId),
    /// Every one.
    Everything,
}

impl Checkout {
    /// The lines on which the user has not decided anew: only they may still be ordered, and only they
    /// come back.
    pub fn unchanged(&self) -> impl Iterator<Item = (ProductId, i64)> {
        let lines = self.lines.iter().copied();
        lines.filter(|(product, _)| !self.changed.contains(product))
    }

    /// Puts back what was not sold.
    pub fn give_back(&self) -> Command {
        let lines = self.unchanged();
        let lines = lines.map(|(product, quantity)| Line { product, quantity, position: 0 });
        Command::TakeIn(lines.collect())
    }
}

impl Command {
    /// What does not come back from a checkout any more, because the user has decided on it anew.
    pub fn touches(&self) -> Touched {
        match self {
            Self::Put(product, _) | Self::Remove(product) => Touched::Product(*product),
            Self::Clear => Touched::Everything,
            Self::TakeOut(_) | Self::TakeIn(_) => Touched::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cart, decide};
    use super::*;

    #[test]
    fn what_was_not_sold_comes_back_unless_the_user_has_changed_it() {
        let [cup, bowl, spoon] = std::array::from_fn(|_| ProductId::mint());
        let checkout = Checkout {
            order: OrderId::mint_on(kernel::Shard(0)),
            cart_version: 3,
            lines: vec![(cup, 2), (bowl, 1), (spoon, 4)],
            changed: vec![bowl],
        };
        let mut cart = Cart::default();
        let put = decide(&cart, &Command::Put(spoon, 1)).unwrap();
        cart.apply(&put);
        let back = decide(&cart, &checkout.give_back()).unwrap();
        cart.apply(&back);
        let lines: Vec<_> = cart.lines.iter().map(|line| (line.product, line.quantity)).collect();
        assert_eq!(lines, [(spoon, 5), (cup, 2)], "a guest's cart had brought one spoon meanwhile");
    }
}
