//! Messaging on a real PostgreSQL and a real NATS.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod bench;
mod delivery;
mod bus_loss;
mod room;
mod cluster;
mod enduring;
mod failure;
mod in_hand;
mod keeping;
mod redriving;
mod rights;
mod watching;
mod wire;
mod servers;
