//! The rules of accounts: functions of values. No I/O, no clock, no protocol.

pub mod refresh;

mod account;
mod address;
mod credentials;
mod event;
mod fault;
mod rejection;

pub use account::{Registration, Role, User, name};
pub use address::{ADDRESSES_MAX, Address};
pub use credentials::{Email, Password};
pub use event::Event;
pub use fault::Fault;
pub use rejection::Rejection;
