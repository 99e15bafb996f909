//! A cart as the rules see it, and what can become of it.

use std::collections::BTreeMap;

use kernel::{OrderId, ProductId, UserId};

/// What somebody wants to buy: products and quantities, never prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cart {
    /// Whether it can be used.
    pub state: State,
    /// Grows by one with every change; 0 for a cart that nobody has used.
    pub version: i64,
    /// One for each product, in the order in which the products were first put in.
    pub lines: Vec<Line>,
    /// The orders that lines have left for and whose end is not known yet.
    pub checkouts: Vec<OrderId>,
}

/// Whether a cart can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// It can.
    #[default]
    Open,
    /// A guest's cart whose lines are on their way into the cart of this user.
    Merging(UserId),
    /// The cart of an erased account: empty for ever.
    Erased,
}

/// One product of a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// Which.
    pub product: ProductId,
    /// How many: 1 to 10,000.
    pub quantity: i64,
    /// Its place; grows with each product that is put in.
    pub position: i64,
}

/// What happens to the lines of a cart: the new line of each product, or none for one that goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change(pub BTreeMap<ProductId, Option<Line>>);

impl Change {
    /// Whether nothing happens, and so the version stays.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This change, and then the `next` one.
    pub fn then(&mut self, next: Self) {
        self.0.extend(next.0);
    }

    /// The lines that are new or different.
    pub fn set(&self) -> impl Iterator<Item = &Line> {
        self.0.values().flatten()
    }

    /// The products that go.
    pub fn removed(&self) -> impl Iterator<Item = ProductId> {
        self.0.iter().filter(|(_, line)| line.is_none()).map(|(product, _)| *product)
    }
}

impl Cart {
    /// The cart after a change.
    pub fn apply(&mut self, change: &Change) {
        if change.is_empty() {
            return;
        }
        self.version += 1;
        let mut left = change.0.clone();
        self.lines.retain_mut(|line| match left.remove(&line.product) {
            Some(Some(new)) => {
                *line = new;
                true
            }
            Some(None) => false,
            None => true,
        });
        self.lines.extend(left.into_values().flatten());
        self.lines.sort_unstable_by_key(|line| line.position);
    }

    /// The line of a product.
    pub fn line(&self, product: ProductId) -> Option<&Line> {
        self.lines.iter().find(|line| line.product == product)
    }

    /// The place of the next product that is put in.
    pub(super) fn next_position(&self) -> i64 {
        self.lines.iter().map(|line| line.position).max().map_or(0, |last| last + 1)
    }
}
