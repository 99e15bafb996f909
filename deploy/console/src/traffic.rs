//! How many orders are placed and settled: counted in the order databases, by the databases' clocks.

use std::collections::HashMap;

use anyhow::Result;
use operator::board::now_unix_ms;
use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::database::Databases;

/// An id begins with the time at which it was made. Orders that are older than this settle uncounted in the charts.
const IDS_MS: i64 = 180_000;

/// Only young orders are looked at: a range of the primary key in each shard. Open ones have an index of their own.
/// What is under way has not committed yet, so the last second is counted the next time.
const COUNT: &str = "with recent as materialized (
         select o.placed_at, o.ended_at
         from generate_series(0, 255) as s(shard)
         cross join lateral (
             select placed_at, ended_at from orders where shard = s.shard and order_id >= $1
         ) o
     ), span as (
         select coalesce($2, now() - interval '3 seconds') as since,
             now() - interval '1 second' as until
     )
     select until, greatest(extract(epoch from until - since), 0.001)::float8,
         count(placed_at) filter (where placed_at > since and placed_at <= until),
         count(placed_at) filter (where ended_at > since and ended_at <= until),
         count(placed_at) filter (where placed_at > now() - interval '1 minute'),
         count(placed_at) filter (where ended_at > now() - interval '1 minute'),
         (select count(*) from orders where state in ('placed', 'stock_held') and state = 'placed'),
         (select count(*) from orders
             where state in ('placed', 'stock_held') and state = 'stock_held')
     from span left join recent on true
     group by since, until";

type Row = (OffsetDateTime, f64, i64, i64, i64, i64, i64, i64);

/// What happens now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Orders that wait for stock.
    pub placed: i64,
    /// Orders that wait for their payment.
    pub stock_held: i64,
    /// Orders that were placed in the last minute.
    pub placed_last_minute: i64,
    /// Orders that were confirmed or cancelled in the last minute.
    pub settled_last_minute: i64,
    /// Orders placed in a second, since the look before.
    pub placed_per_second: f64,
    /// Orders settled in a second, since the look before.
    pub settled_per_second: f64,
}

impl Traffic {
    /// Orders that are neither confirmed nor cancelled.
    pub fn under_way(&self) -> i64 {
        self.placed + self.stock_held
    }
}

/// Counts from look to look.
#[derive(Debug, Default)]
pub struct Counter {
    databases: Databases,
    /// Until when each database was counted.
    until: HashMap<String, OffsetDateTime>,
}

impl Counter {
    /// Looks at the databases with these URLs.
    ///
    /// # Errors
    /// When one does not answer; the next look counts from where the last one ended.
    pub async fn look(&mut self, urls: &[String]) -> Result<Traffic> {
        let mut traffic = Traffic::default();
        for url in urls {
            let since = self.until.get(url).copied();
            let asked = self.databases.ask(url, move |database| Box::pin(count(database, since)));
            let row = asked.await?;
            self.until.insert(url.clone(), row.0);
            traffic.add(&row);
        }
        Ok(traffic)
    }
}

impl Traffic {
    fn add(&mut self, row: &Row) {
        let (_, seconds, placed, settled, ..) = *row;
        self.placed_per_second += placed as f64 / seconds;
        self.settled_per_second += settled as f64 / seconds;
        self.placed_last_minute += row.4;
        self.settled_last_minute += row.5;
        self.placed += row.6;
        self.stock_held += row.7;
    }
}

/// Not the checking macro: this crate has no database of its own to check against.
#[expect(clippy::disallowed_methods, reason = "the macros check against one database per crate")]
async fn count(
    database: &mut PgConnection,
    since: Option<OffsetDateTime>,
) -> Result<Row, sqlx::Error> {
    let oldest = id_of(now_unix_ms() - IDS_MS);
    sqlx::query_as(COUNT).bind(oldest).bind(since).fetch_one(database).await
}

/// The smallest id (UUIDv7) of a moment.
fn id_of(unix_ms: i64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_moment_begin_with_it() {
        let id = id_of(0x0193_5a1b_2c3d);
        assert_eq!(id.to_string(), "01935a1b-2c3d-0000-0000-000000000000");
        assert!(id_of(1_000) < id_of(1_001));
    }

    #[test]
    fn shards_are_added_up() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut traffic = Traffic::default();
        traffic.add(&(now, 2.0, 4, 2, 10, 9, 1, 2));
        traffic.add(&(now, 4.0, 4, 0, 5, 5, 0, 1));
        assert_eq!(traffic.placed_per_second, 3.0);
        assert_eq!(traffic.settled_per_second, 1.0);
        assert_eq!((traffic.placed_last_minute, traffic.settled_last_minute), (15, 14));
        assert_eq!(traffic.under_way(), 4);
    }
}
