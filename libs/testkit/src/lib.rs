//! What a test of the shop stands on: real stores, started on demand; databases, a bus, keys and
//! certificates of its own; services run as `main` runs them; and waiting for conditions, never
//! for time. For tests only: what fails here panics with its reason.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod bus;
mod eventually;
mod folder;
mod provisioner;
mod running;
mod world;

pub use bus::{Published, Publisher};
pub use eventually::eventually;
pub use running::{Builder, Running};
pub use world::World;

/// How long tests wait for a database connection, in milliseconds. What a service sheds by default
/// when it is kept waiting would be a test's failure on a machine that is busy building.
pub const ACQUIRE_MS: u32 = 15_000;
