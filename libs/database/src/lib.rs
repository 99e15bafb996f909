//! PostgreSQL as every context uses it: pools that cannot be poisoned, one unit of work per
//! effect, logical shards over one or many databases, and migrations that several copies may
//! start at once.

mod config;
mod connections;
mod error;
mod migrate;
mod pool;
mod tx;

pub use config::Options;
pub use connections::{Lent, Pool};
pub use error::{constraint, is_transient};
pub use pool::{ConnectError, Database};
pub use tx::Tx;
