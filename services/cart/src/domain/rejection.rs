//! Everything that a cart can refuse.

use thiserror::Error;

use super::{LINES_MAX, QUANTITY_MAX};

/// A refusal, with a stable [`Rejection::code`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// Nothing, less than nothing, or more than a line may hold.
    #[error("must be 1 to {QUANTITY_MAX}")]
    QuantityOutOfRange,
    /// One product more than a cart may hold.
    #[error("a cart has at most {LINES_MAX} lines")]
    TooManyLines,
    /// With a token only the cart of its subject can be named.
    #[error("this is not your cart")]
    NotYours,
    /// A guest's request must name its cart.
    #[error("name a cart or sign in")]
    CartUnnamed,
    /// It is not as the caller has seen it.
    #[error("the cart has changed meanwhile")]
    CartChanged,
    /// The account was erased, and its cart with it.
    #[error("the account has been erased")]
    AccountErased,
}

impl Rejection {
    /// The stable code, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::QuantityOutOfRange => "quantity_out_of_range",
            Self::TooManyLines => "too_many_lines",
            Self::NotYours => "cart_not_yours",
            Self::CartUnnamed => "cart_unnamed",
            Self::CartChanged => "cart_changed",
            Self::AccountErased => "account_erased",
        }
    }
}
