//! Everything that an account can refuse.

use thiserror::Error;

use super::{ADDRESSES_MAX, Fault};

/// A refusal, with a stable [`Rejection::code`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Rejection {
    /// Input that breaks rules: every field at fault.
    #[error("invalid input")]
    Invalid(Vec<Fault>),
    /// Somebody has an account with this e-mail.
    #[error("there is an account with this e-mail address")]
    EmailTaken,
    /// Which of the two is wrong is not said.
    #[error("the e-mail address or the password is wrong")]
    BadCredentials,
    /// The refresh token is unknown, used, expired or revoked. Which is not said.
    #[error("the session has ended: sign in again")]
    SessionEnded,
    /// The account was erased.
    #[error("no such account")]
    UserNotFound,
    /// The address that was named is not the user's.
    #[error("no such address")]
    AddressNotFound,
    /// There is no default, because there is no address.
    #[error("the account has no address")]
    AddressMissing,
    /// One more than an account may have.
    #[error("an account has at most {ADDRESSES_MAX} addresses")]
    TooManyAddresses,
}

impl Rejection {
    /// The stable code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::EmailTaken => "email_taken",
            Self::BadCredentials => "bad_credentials",
            Self::SessionEnded => "session_ended",
            Self::UserNotFound => "user_not_found",
            Self::AddressNotFound => "address_not_found",
            Self::AddressMissing => "address_missing",
            Self::TooManyAddresses => "too_many_addresses",
        }
    }
}
