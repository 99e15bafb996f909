//! How old an answer may be.

use std::time::Duration;

/// Which copy of a shard may answer a read. Today every shard has one, its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The primary, which has everything that was committed. Whatever a write depends on reads here.
    Primary,
    /// A copy that has got at least so far.
    AtLeast(Position),
    /// A copy that is at most so far behind.
    AtMost(Duration),
}

/// A place in a database's log (`pg_lsn`), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);
