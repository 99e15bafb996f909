//! The operator's page of a running shop: whether its promises are kept, what its processes do, and faults to try them.
//!
//! It is a process beside the shop's own, and none of them knows of it. It reads what the supervisor has written down,
//! `/proc`, `/metrics` and the databases; it writes nothing, and it asks the supervisor for faults. Two background tasks look,
//! the [`sampler`] and the [`auditor`]; a request reads the latest of what they saw, so many open pages cost no more than one.

pub mod config;
pub mod token;
pub mod problem;
pub mod security;
pub mod page;
pub mod running;
pub mod process;
pub mod scrape;
pub mod database;
pub mod traffic;
pub mod series;
pub mod snapshot;
pub mod sampler;
pub mod verdict;
pub mod auditor;
pub mod overview;
pub mod orders;
pub mod logs;
pub mod traces;
pub mod faults;
pub mod api;
pub mod server;
mod program;

pub use config::Config;
pub use program::main;
pub use server::Server;
