//! The order service on real PostgreSQL (two shards) and NATS. The three contexts that it calls
//! answer from memory here; with the real ones it runs in tests/e2e.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod neighbours;
mod shop;
mod groups;
mod placing;
mod racing;
mod checkout;
mod returning;
mod watching;
