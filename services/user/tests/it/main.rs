//! The user service on real stores.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod shop;
mod batches;
mod accounts;
mod sessions;
mod revocations;
mod erasing;
mod staff;
mod secrets;
