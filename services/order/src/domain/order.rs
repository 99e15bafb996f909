//! An order as the rules see it.

use kernel::{CartId, Money, OrderId, PaymentMethodId, ProductId, UserId};
use time::OffsetDateTime;

use super::checkout::State;
use super::returns::Return;

/// What was ordered by whom, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// On the shard of its user.
    pub id: OrderId,
    /// Who ordered.
    pub user: UserId,
    /// The cart that was ordered, and its version then.
    pub cart: (CartId, i64),
    /// Where the checkout stands.
    pub state: State,
    /// What pays; means something to the payment context only.
    pub payment_method: PaymentMethodId,
    /// The sum of all lines.
    pub total: Money,
    /// What was paid back for returns.
    pub refunded: Money,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// What came back of it, or is to; oldest first.
    pub returns: Vec<Return>,
    /// Grows with every change.
    pub version: i64,
    /// When each step was made, by the clock of the order's database.
    pub placed_at: OffsetDateTime,
    /// When stock was held.
    pub stock_held_at: Option<OffsetDateTime>,
    /// When the checkout ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// One product of an order, at the price of the moment of ordering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which product.
    pub product: ProductId,
    /// Its SKU and name then.
    pub sku: String,
    /// For the customer to read.
    pub name: String,
    /// Above 0.
    pub quantity: i64,
    /// For one.
    pub unit_price: Money,
    /// How many staff has received back.
    pub returned: i64,
    /// How many are on their way back; together with the returned at most the quantity.
    pub return_requested: i64,
}
