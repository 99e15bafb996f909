//! All orders, and the shelf that they share.

use product::domain::{Shelves, Stock};

use crate::sale::{Sale, product};

/// One moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The orders.
    pub sales: Vec<Sale>,
    /// The stock of the only product.
    pub shelves: Shelves,
}

impl World {
    /// Orders for so many pieces each, and so many pieces in stock.
    pub fn new(orders: &[i64], stock: i64) -> Self {
        let mut shelf = Stock::default();
        shelf.receive(stock);
        let sales = orders.iter().enumerate().map(|(number, pieces)| Sale::new(number, *pieces));
        Self { sales: sales.collect(), shelves: Shelves::from([(product(), shelf)]) }
    }

    /// The shelf.
    pub fn stock(&self) -> Stock {
        self.shelves.get(&product()).copied().unwrap_or_default()
    }
}
