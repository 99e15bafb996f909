//! Retention (TTL, purge): rows that are kept for a time, and then deleted in bounded parts. One large delete would run
//! into the statement timeout, the first time and then every time.

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use kernel::Shard;
use sqlx::{Error, PgConnection};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::Database;

/// Maximum number of rows that one statement deletes.
const PART: u64 = 1_000;
const EVERY: Duration = Duration::from_secs(3_600);

/// Rows that are kept for a time. `docs/operations.md` has the list.
pub struct RetentionRule {
    /// What they are, for the log.
    pub what: &'static str,
    /// Deletes at most this number of expired rows, in one statement. Returns how many it deleted.
    pub delete: for<'c> fn(&'c mut PgConnection, i64) -> BoxFuture<'c, Result<u64, Error>>,
}

impl Database {
    /// Deletes expired rows now and every hour, until `stop`. An unavailable database delays no other, and what fails is
    /// tried again an hour later.
    pub fn run_retention(
        self,
        rules: &'static [RetentionRule],
        stop: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut due = interval(EVERY);
            while stop.run_until_cancelled(due.tick()).await.is_some() {
                let homes = self.one_shard_per_database();
                join_all(homes.map(|home| self.delete_all(home, rules, &stop))).await;
            }
            Ok(())
        })
    }

    async fn delete_all(
        &self,
        home: Shard,
        rules: &'static [RetentionRule],
        stop: &CancellationToken,
    ) {
        for RetentionRule { what, delete } in rules {
            let mut gone = 0;
            while !stop.is_cancelled() {
                match self.write(home, move |db| delete(db, PART as i64)).await {
                    Ok(part) => {
                        gone += part;
                        if part < PART {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(what, %error, "retention: the rest goes the next time");
                        break;
                    }
                }
            }
            if gone > 0 {
                tracing::info!(what, gone, "deleted: their time is over");
            }
        }
    }
}
