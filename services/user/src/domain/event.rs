//! What happens to accounts, as others may know it.

use kernel::UserId;

/// A fact that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An account was opened.
    Registered(UserId),
    /// Everything personal in an account was erased.
    Erased(UserId),
}
