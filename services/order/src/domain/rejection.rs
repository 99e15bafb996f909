//! Everything that an order can refuse.

use kernel::{Money, ProductId};
use thiserror::Error;

use super::Line;

/// A refusal, with a stable [`Rejection::code`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// No such order for this user.
    #[error("no such order")]
    OrderNotFound,
    /// A sale is not cancelled but returned.
    #[error("the order is confirmed: return its items instead")]
    OrderConfirmed,
    /// Only what was sold can come back.
    #[error("the order is not confirmed")]
    OrderNotConfirmed,
    /// Nothing to order.
    #[error("the cart is empty")]
    CartEmpty,
    /// All that was in the cart is ordered, perhaps in another tab.
    #[error("this cart has been ordered already")]
    CartAlreadyOrdered,
    /// It changed while it was being ordered, over and over.
    #[error("the cart changed while it was being ordered: look at it and try again")]
    CartChanged,
    /// More lines than an order may have.
    #[error("an order has at most {max} lines")]
    TooManyLines {
        /// The limit.
        max: usize,
    },
    /// A product is no longer on sale.
    #[error("product {0} is no longer on sale")]
    ProductUnavailable(ProductId),
    /// The sum does not fit, or mixes currencies.
    #[error("the total cannot be computed")]
    AmountOutOfRange,
    /// It costs something else than the customer has agreed to.
    #[error("the total is {} {} by now", .0.total.minor, .0.total.currency.code())]
    TotalChanged(Box<TotalChanged>),
    /// The customer agreed to a total in another currency.
    #[error("must be in the currency of the cart")]
    ExpectedCurrency,
    /// The user has no address to send to.
    #[error("add an address first")]
    AddressMissing,
    /// The address that was named is not the user's.
    #[error("no such address")]
    AddressNotFound,
    /// The key came before with another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// The first request with this key has not finished.
    #[error("a request with this idempotency key is still running")]
    KeyInFlight,
    /// More is to come back than was bought and is neither back nor on its way.
    #[error(
        "product {product}: {bought} bought, {returned} returned, {requested} on their way back"
    )]
    NotReturnable {
        /// Which.
        product: ProductId,
        /// How many were ordered.
        bought: i64,
        /// How many staff has received back.
        returned: i64,
        /// How many are on their way back.
        requested: i64,
    },
    /// Nothing will come after the version that the watcher has seen.
    #[error("the order has ended, and this was its last version")]
    OrderEnded,
    /// The user watches as many orders as one may.
    #[error("at most {max} orders can be watched at the same time")]
    TooManyStreams {
        /// The limit.
        max: usize,
    },
    /// A return without items.
    #[error("nothing to return")]
    NothingToReturn,
    /// The order has no such return.
    #[error("no such return")]
    ReturnNotFound,
    /// Staff has received it already, and said something else about it.
    #[error("the return has been received already")]
    ReturnReceived,
    /// Staff has refused it already, and said something else about it.
    #[error("the return has been refused already")]
    ReturnRefused,
    /// More has arrived than the customer wanted to send.
    #[error("product {product}: {received} received, {requested} requested")]
    NotRequested {
        /// Which.
        product: ProductId,
        /// How many were to come.
        requested: i64,
        /// How many came.
        received: i64,
    },
    /// A receipt without items.
    #[error("nothing received: refuse the return instead")]
    NothingReceived,
    /// A customer who gets less than he sent back is told why.
    #[error("say why the return is refused, or received in part only")]
    ReasonMissing,
}

/// What the cart costs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalChanged {
    /// All of it.
    pub total: Money,
    /// The lines whose price moved of late, each with the price before.
    pub moved: Vec<(Line, Money)>,
}

impl Rejection {
    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OrderNotFound => "order_not_found",
            Self::OrderConfirmed => "order_confirmed",
            Self::OrderNotConfirmed => "order_not_confirmed",
            Self::CartEmpty => "cart_empty",
            Self::CartAlreadyOrdered => "cart_already_ordered",
            Self::CartChanged => "cart_changed",
            Self::TooManyLines { .. } => "too_many_lines",
            Self::ProductUnavailable(_) => "product_unavailable",
            Self::TotalChanged(_) => "total_changed",
            Self::ExpectedCurrency => "invalid",
            Self::AmountOutOfRange => "amount_out_of_range",
            Self::AddressMissing => "address_missing",
            Self::AddressNotFound => "address_not_found",
            Self::KeyReused => "idempotency_key_reused",
            Self::KeyInFlight => "idempotency_key_in_flight",
            Self::NotReturnable { .. } => "not_returnable",
            Self::OrderEnded => "order_ended",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::NothingToReturn => "nothing_to_return",
            Self::ReturnNotFound => "return_not_found",
            Self::ReturnReceived => "return_already_received",
            Self::ReturnRefused => "return_already_refused",
            Self::NotRequested { .. } => "not_requested",
            Self::NothingReceived => "nothing_received",
            Self::ReasonMissing => "reason_missing",
        }
    }
}
