//! The rules of carts: functions of values. No I/O, no clock, no protocol.

mod cart;
mod checkout;
mod decide;
mod key;
mod rejection;

pub use cart::{Cart, Change, Line, State};
pub use checkout::{Checkout, Outcome, Touched};
pub use decide::{Command, LINES_MAX, QUANTITY_MAX, decide};
pub use key::{Key, Owner};
pub use rejection::Rejection;
