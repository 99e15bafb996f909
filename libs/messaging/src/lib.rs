//! The only doors for events. Outgoing events are rows that are written in the transaction that
//! changes state ([`Outbox`]), and sent by a [`Relay`]; incoming ones are taken in batches by a
//! [`Consumer`], whose effect, inbox rows and outgoing events are one transaction.
//!
//! The outbox is the record and the bus is disposable: a stream that was wiped or rolled back is
//! noticed and filled again. Delivery is at least once, effects are exactly once, in any order.
//!
//! In layers, each of which knows only those before it: `model` (values, no I/O); `codec` (CloudEvents ↔ NATS); `store`
//! (every SQL statement); `bus` (the connection); `sink` and `source` (all that an engine needs of the bus); and the
//! engines: `relay` (the publisher, with the stream's checkpoint), `consumer` with `pulls` and `batch`, and
//! `dead_letters`. A process of its own is the `provisioner`, which alone configures streams and consumers.

mod config;
mod model;
mod codec;
mod store;
mod bus;
mod provisioning;
mod provisioner;
mod sink;
mod source;
mod outbox;
mod relay;
mod pulls;
mod batch;
mod consumer;
mod upkeep;
mod dead_letters;
mod replay;
mod operate;
mod metrics;
mod spans;
#[cfg(test)]
mod memory;

pub use batch::{Handler, HandlerError};
pub use bus::Bus;
pub use config::{Options, ProvisionerOptions};
pub use consumer::Consumer;
pub use dead_letters::{list as dead_letters, redrive};
pub use model::{DeadLetter, Delivered, Outgoing};
pub use operate::{AdminCommand, operate};
pub use outbox::Outbox;
pub use provisioner::Provisioner;
pub use relay::Relay;
pub use replay::{OutboxStatus, ReplayError, outboxes, replay};
pub use upkeep::upkeep;

/// The library's own schema, beside the tables of the service.
pub fn migrator() -> sqlx::migrate::Migrator {
    sqlx::migrate!()
}
