//! Counting pieces.

use std::collections::BTreeMap;

use kernel::ProductId;

/// The stock of one product, in pieces.
///
/// Always `received = on_hand + shipped` and `0 <= reserved <= on_hand`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stock {
    /// Ever booked in.
    pub received: i64,
    /// Here, whether or not somebody waits for them.
    pub on_hand: i64,
    /// Of those here, held for orders.
    pub reserved: i64,
    /// Sold and gone, and not come back.
    pub shipped: i64,
}

impl Stock {
    /// What can still be sold.
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved
    }

    /// Books a delivery in.
    pub fn receive(&mut self, quantity: i64) {
        self.received += quantity;
        self.on_hand += quantity;
    }

    /// Holds pieces that are available.
    pub fn hold(&mut self, quantity: i64) {
        self.reserved += quantity;
    }

    /// Lets go of pieces that are held.
    pub fn release(&mut self, quantity: i64) {
        self.reserved -= quantity;
    }

    /// Sends pieces that are held.
    pub fn ship(&mut self, quantity: i64) {
        self.reserved -= quantity;
        self.on_hand -= quantity;
        self.shipped += quantity;
    }

    /// Puts pieces back that were shipped.
    pub fn restock(&mut self, quantity: i64) {
        self.on_hand += quantity;
        self.shipped -= quantity;
    }
}

/// The stock of the products that a batch touches; of a product that is not here there is nothing.
pub type Shelves = BTreeMap<ProductId, Stock>;
