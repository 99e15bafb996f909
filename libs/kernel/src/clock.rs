//! The wall clock. Only shells call it; domain functions get the time as a value. It is never
//! compared across processes: deadlines use the database's clock.

use time::OffsetDateTime;

/// Now, in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the door that the lint points to")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
