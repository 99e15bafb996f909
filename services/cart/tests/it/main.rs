//! The cart service on real stores, with its carts on two databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod shop;
mod batches;
mod checkouts;
mod commands;
mod merging;
mod events;
