//! The stores of the shop: PostgreSQL, Redis and NATS as private child processes.
//!
//! Real servers, not replacements, because every promise of the shop is a promise about what they
//! do under a crash. Private ones, because a test or a demonstration must neither need nor disturb
//! what already runs on the machine. Nothing is installed: see [`Tools`] for where the programs come
//! from, and [`fetch()`] for how they get here when the machine has none.
//!
//! Only the standard library is used, and only blocking calls: this is built before anything else,
//! and everything it does takes well under a second or is a wait for a child process.

mod error;
mod home;
mod tools;
mod member;
mod fetch;
mod apt;
mod packages;
mod network;
mod system;
mod url;
mod user;
mod process;
mod place;
mod random;
mod ports;
mod postgres;
mod redis;
mod redis_users;
mod bus;
mod nats;
mod server;
mod options;
mod run;
mod client;
mod databases;
mod pgbench;

pub use bus::{BUS_OPERATOR, BUS_PROVISIONER, bus_authorization, bus_topology, bus_users};
pub use databases::{Psql, database_statements};
pub use error::{Error, Result};
pub use fetch::{can_fetch, fetch, provide};
pub use home::Home;
pub use member::Member;
pub use options::Options;
pub use packages::Packages;
pub use pgbench::Pgbench;
pub use process::birth;
pub use redis_users::{redis_acl, redis_commands, redis_readers, redis_reads, redis_users};
pub use run::{Endpoints, Stores};
pub use system::install_with_package_manager;
pub use tools::{
    HIDE_VARIABLE, NATS_VARIABLE, Program, Server, Source, Tools, machine_hidden, ways_out,
};
pub use url::{check_url, url_as};

/// Where progress goes: one short line at a time, without a line end.
pub type Progress<'a> = &'a dyn Fn(&str);
