//! The rules of orders: functions of values. No I/O, no clock, no protocol.

pub mod checkout;
pub mod placing;
pub mod returns;

mod order;
mod rejection;

pub use order::{Line, Order};
pub use rejection::{Rejection, TotalChanged};
pub use returns::Return;
