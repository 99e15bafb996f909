//! The rules of payments: functions of values. No I/O, no clock, no protocol.

pub mod payment;
pub mod refund;

mod news;
mod pay_by;
mod method;
mod rejection;

pub use method::{CardToken, Label, METHODS_MAX};
pub use news::{Effect, News, Payment, Wish};
pub use pay_by::pay_within;
pub use refund::{Refund, RefundId};
pub use rejection::Rejection;
