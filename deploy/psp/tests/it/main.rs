//! The PSP through its own HTTP API, on real sockets and real files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod shop;
mod captures;
mod voids;
mod refunds;
mod audit;
mod durability;
mod webhooks;
mod behaviour;
mod bad_input;
mod process;
