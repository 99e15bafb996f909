//! The product service on real stores.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod shop;
mod catalogue;
mod searching;
mod importing;
mod jobs;
mod following;
mod popular;
mod selling;
mod holding;
mod showing;
mod batches;
