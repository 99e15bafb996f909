//! The wall clock. Only shells call it; domain functions get the time as a value. It is never
//! compared across processes: deadlines use the database's clock.

use time::OffsetDateTime;

/// Milliseconds since 1970, as messages carry times.
pub fn unix_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default() // the year 292 million
}

/// Now, in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the door that the lint points to")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
