//! The payment service on real PostgreSQL and NATS, with the real simulator of the provider and
//! its own ledger.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod provider;
mod shop;
mod paying;
mod undoing;
mod refunding;
mod faults;
mod waiting;
mod methods;
mod webhooks;
mod traces;
