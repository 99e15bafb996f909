//! The rules of payments: functions of values. No I/O, no clock, no protocol.

pub mod payment;

mod method;
mod rejection;

pub use method::{CardToken, Label, METHODS_MAX};
pub use rejection::Rejection;
