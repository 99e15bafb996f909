//! What the records say, each context in its own words, nothing yet concluded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kernel::{OrderId, ProductId, ReturnId};
use uuid::Uuid;

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The orders, from the order context.
    pub orders: BTreeMap<OrderId, Order>,
    /// How many transactions wrote so many orders each: the groups in which they were placed.
    pub groups: BTreeMap<u64, u64>,
    /// What was in each of them.
    pub baskets: BTreeMap<OrderId, Basket>,
    /// The returns, from the order context.
    pub returns: BTreeMap<ReturnKey, Return>,
    /// Returns that are on the shelf again, from the product context.
    pub restocked: BTreeSet<ReturnKey>,
    /// Refunds of returns, from the payment context.
    pub refunds: BTreeMap<ReturnKey, Refund>,
    /// The stock, from the product context; what was sold of it, from the order context.
    pub shelves: BTreeMap<ProductId, Shelf>,
    /// Orders that hold stock now, from the product context.
    pub holding: Vec<OrderId>,
    /// Orders that have lines of a cart now, from the cart context.
    pub checkouts: Vec<OrderId>,
    /// What is in users' carts, from the cart context.
    pub carts: BTreeMap<Uuid, BTreeMap<ProductId, i64>>,
    /// What the payment context has booked.
    pub booked: BTreeMap<OrderId, Booked>,
    /// What the provider has booked.
    pub provider: BTreeMap<OrderId, Booked>,
    /// What each order is owed and the provider refuses to give back, in minor units: staff see it.
    pub awaiting: BTreeMap<OrderId, i64>,
    /// Captures that the payment context has sent to the provider.
    pub sent: Vec<Sent>,
    /// What the provider has booked under names that are no order's.
    pub strangers: Vec<String>,
    /// The accounts of the payment context's ledger.
    pub balances: Vec<Balance>,
    /// Events in all outboxes.
    pub events: u64,
    /// Databases that were looked at for unsent events and dead letters.
    pub databases: u64,
    /// Events that wait, by database.
    pub unpublished: Vec<Unpublished>,
    /// Events that were published twice although they can happen once only.
    pub repeated: Vec<Repeated>,
    /// Events that were parked.
    pub dead_letters: Vec<DeadLetter>,
}

/// Where a checkout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Still under way.
    Open,
    /// Sold.
    Confirmed,
    /// Ended without a sale.
    Cancelled,
}

/// One order. Amounts are minor units of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where its checkout stands.
    pub state: State,
    /// Of all amounts.
    pub currency: String,
    /// What it costs.
    pub total: i64,
    /// What was given back for returns.
    pub refunded: i64,
    /// From the acceptance to the end of the checkout, by the database's clock.
    pub settled_after: Option<Duration>,
}

/// What was in an order, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basket {
    /// Who ordered.
    pub user: Uuid,
    /// It was cancelled, and not because the customer wanted that.
    pub unsold: bool,
    /// Product and pieces.
    pub lines: Vec<(ProductId, i64)>,
}

/// Which return of which order.
pub type ReturnKey = (OrderId, ReturnId);

/// How a return stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Nobody has received it, or it was refused.
    NotReceived,
    /// It was received, and its refund is under way.
    Received,
    /// The order knows that the money is back.
    Refunded,
}

/// How the refund of a return stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refund {
    /// The provider is asked for it.
    UnderWay,
    /// The provider refused it: staff has to decide.
    WaitsForStaff,
    /// The money is back.
    Given,
}

/// Pieces of one product, each as one record has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Ever booked in, as the row of the stock says.
    pub received: i64,
    /// There now.
    pub on_hand: i64,
    /// Of these, held for orders.
    pub reserved: i64,
    /// Gone to customers, and not come back.
    pub shipped: i64,
    /// The sum of the delivery notes.
    pub delivered: i64,
    /// The sum of the reservations that hold.
    pub held: i64,
    /// The sum of the reservations that were shipped.
    pub sent: i64,
    /// The sum of what came back.
    pub returned: i64,
    /// The sum of the confirmed orders' lines, returns taken off.
    pub sold: i64,
}

/// Movements of money for one order, in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// Of all amounts; empty when there are several.
    pub currency: String,
    /// How often money was taken.
    pub captures: u64,
    /// How much.
    pub captured: i64,
    /// How much was given back.
    pub refunded: i64,
    /// How much went back past the provider; only the payment context knows of it.
    pub by_hand: i64,
}

/// A capture that was sent to the provider for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// For which order.
    pub order: OrderId,
    /// Whether it was too late for that; both times are of one clock, that of payment's database.
    pub after_pay_by: bool,
}

/// One account in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which.
    pub account: String,
    /// Of what.
    pub currency: String,
    /// Debits less credits, in minor units.
    pub minor: i64,
}

/// Events that were written and not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpublished {
    /// In whose outbox.
    pub database: String,
    /// How many.
    pub events: u64,
}

/// An event that came twice to an aggregate to which it can come once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// Which event.
    pub kind: String,
    /// Whose.
    pub aggregate: Uuid,
    /// How often.
    pub times: u64,
}

/// An event that a consumer has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where.
    pub database: String,
    /// Which event.
    pub kind: String,
    /// Why.
    pub error: String,
}

impl Booked {
    /// Adds one movement.
    pub(crate) fn add(&mut self, currency: &str, captures: u64, captured: i64, refunded: i64) {
        if self.captures == 0 && self.captured == 0 && self.refunded == 0 {
            currency.clone_into(&mut self.currency);
        } else if self.currency != currency {
            self.currency.clear();
        }
        self.captures += captures;
        self.captured += captured;
        self.refunded += refunded;
    }

    /// What the customer has paid.
    pub fn net(&self) -> i64 {
        self.captured - self.refunded
    }
}
