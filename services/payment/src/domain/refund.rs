//! Money on its way back.

use kernel::{Money, ReturnId};

/// Which refund of an order. It is also the second half of the provider's key, so that asking
/// again is the same refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefundId {
    /// The order was cancelled.
    Cancellation,
    /// Items came back.
    Return(ReturnId),
}

impl RefundId {
    const CANCELLATION: &'static str = "cancellation";

    /// As stored, and as the provider sees it.
    pub fn code(self) -> String {
        match self {
            Self::Cancellation => Self::CANCELLATION.to_owned(),
            Self::Return(id) => id.to_string(),
        }
    }

    /// Reads what [`RefundId::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            Self::CANCELLATION => Some(Self::Cancellation),
            id => id.parse().ok().map(Self::Return),
        }
    }
}

/// Money that is asked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refund {
    /// Which.
    pub id: RefundId,
    /// How much; above 0.
    pub amount: Money,
    /// Whether the provider has given it back.
    pub done: bool,
}
