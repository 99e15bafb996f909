//! How stale a read may be (read replicas, replication lag, read-your-writes).

use std::time::Duration;

/// Which replica of a shard may serve a read. Today every shard has its primary alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The primary, which has everything that was committed. Whatever a write depends on reads here.
    Primary,
    /// A replica that has replayed the log at least to this position: what the caller wrote is there.
    AtLeast(Position),
    /// A replica whose replication lag is at most this long.
    AtMost(Duration),
}

/// A position in a database's write-ahead log (`pg_lsn`), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);
