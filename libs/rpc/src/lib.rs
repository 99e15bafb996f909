//! How we speak gRPC. Every call between processes goes through here, in both directions:
//!
//! - [`tls`]: who we are. Mutual TLS from files that may be replaced while we run.
//! - [`server`]: check the caller, bound the work, answer in time; on the connections of [`net`].
//! - [`callers`]: which process may call which method.
//! - [`InProcess`]: services in one process, which call each other without a network.
//! - [`client`]: find the endpoints of a service, balance the load, keep the deadline, try again when
//!   that is safe; all of that above a narrow [transport](client::Transport).
//! - [`status`]: refusals with a stable reason, and how to read them.
//! - [`deadline`]: absolute within a process, what is left of it on the wire.
//!
//! tonic generates the code and frames the messages. Its own TLS cannot swap a certificate, its
//! balancing is random, it neither passes deadlines on nor answers in time, and it waits for ever
//! when it stops: so the shop's transport is hyper with rustls. ADR 0003 says why, and what it
//! takes to put the policies of [`client`] on tonic's `Channel` instead.

pub mod status;
pub mod deadline;
pub mod tls;
pub mod callers;
pub mod server;
pub mod client;

mod method;
mod metrics;
mod in_process;
mod peer;

pub use client::{Channel, Targets, connect};
pub use in_process::InProcess;
pub use peer::Peer;
pub use server::{Health, ServerOptions, serve};
pub use tls::Identity;
pub use tonic::service::Routes;
