//! What containers need that no image can hold: certificates and passwords, made where they are
//! used and given to each process apart; and, once the shop is open, something to sell.
//!
//! `cargo souk up` does the same by itself, with the same code (`operator`).

pub mod cli;
pub mod secrets;
pub mod catalogue;
pub mod process;
