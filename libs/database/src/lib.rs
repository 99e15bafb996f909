//! PostgreSQL as every context uses it: reads and transactions that cannot leave a connection in the middle of
//! something, logical shards over one or many databases, and migrations that several copies may
//! start at once.

mod access;
mod config;
mod database;
mod error;
mod freshness;
mod gathered;
mod metrics;
mod migrate;
mod ordinality;
mod pool;
mod retention;
mod tx;

pub use config::Options;
pub use database::{ConnectError, Database, ONLY_SHARD};
pub use error::{again, constraint, is_contended, is_misdeployed, is_transient, shared};
pub use freshness::{Freshness, Position};
pub use gathered::{Gathered, ReadAll};
pub use migrate::{Migrations, migrate};
pub use ordinality::nth;
pub use retention::RetentionRule;
pub use tx::Tx;
