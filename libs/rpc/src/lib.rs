//! How we speak gRPC. Every call between processes goes through here, in both directions:
//!
//! - [`tls`]: who we are. Mutual TLS from files that may be replaced while we run.
//! - [`server`]: check the caller, bound the work, answer in time; on the connections of [`net`].
//! - [`callers`]: which process may call which method.
//! - [`client`]: find the endpoints of a service, balance the load, keep the deadline, try again when
//!   that is safe.
//! - [`status`]: refusals with a stable reason, and how to read them.
//! - [`deadline`]: absolute within a process, what is left of it on the wire.
//!
//! tonic generates the code and frames the messages, but it has no hook for swapping a
//! certificate, balances at random, neither passes deadlines on nor answers in time, and waits
//! for ever when it stops: so the transport below is hyper with rustls. ADR 0003 says why.

pub mod status;
pub mod deadline;
pub mod tls;
pub mod callers;
pub mod server;
pub mod client;

mod method;
mod metrics;
mod peer;

pub use client::{Channel, Targets, connect};
pub use peer::Peer;
pub use server::{Health, ServerOptions, serve};
pub use tls::Identity;
pub use tonic::service::Routes;
