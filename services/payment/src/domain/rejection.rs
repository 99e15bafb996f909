//! Everything that a payment can refuse.

use thiserror::Error;

/// A refusal, with a stable [`Rejection::code`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// No such payment for this user.
    #[error("no such payment")]
    PaymentNotFound,
    /// A user keeps a bounded number of cards.
    #[error("a user has at most {max} payment methods")]
    TooManyMethods {
        /// The limit.
        max: usize,
    },
    /// The notice was not signed by the provider.
    #[error("the signature is not the provider's")]
    BadSignature,
    /// More is asked back than was paid, or in another currency.
    #[error("a refund exceeds what was paid")]
    RefundExceedsPayment,
    /// No order has such a refund.
    #[error("no such refund")]
    RefundNotFound,
    /// The provider has not refused it, so it may be given back at any moment.
    #[error("the provider is being asked for this refund, and has not refused it")]
    RefundUnderWay,
    /// The customer has the money.
    #[error("this refund has ended")]
    RefundEnded,
}

impl Rejection {
    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PaymentNotFound => "payment_not_found",
            Self::TooManyMethods { .. } => "too_many_payment_methods",
            Self::BadSignature => "bad_signature",
            Self::RefundExceedsPayment => "refund_exceeds_payment",
            Self::RefundNotFound => "refund_not_found",
            Self::RefundUnderWay => "refund_under_way",
            Self::RefundEnded => "refund_ended",
        }
    }
}
