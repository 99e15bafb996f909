//! What the tables of messaging need wherever they are, in every copy of every service: partitions to come,
//! old days dropped, and figures for operators. Nothing of it needs the bus.

use std::time::Duration;

use database::{Database, Freshness};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use kernel::Shard;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{metrics, store};

/// How many days an outbox keeps what was published.
pub(crate) const OUTBOX_DAYS: i32 = 7;
/// How many days an inbox knows what was seen: longer than outbox, stream and redriving together.
const INBOX_DAYS: i32 = 30;
const FIGURES_EVERY: Duration = Duration::from_secs(5);
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);

/// Looks after outbox and inbox of `context` until asked to stop. A database that is away is looked after
/// when it is back, and holds up no other.
pub fn upkeep(
    context: &'static str,
    database: Database,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let each = database.one_shard_per_database().enumerate().map(|(index, home)| {
            let one = DatabaseUpkeep { context, index, home, database: &database };
            one.run(stop.clone())
        });
        join_all(each).await;
        Ok(())
    })
}

/// The upkeep of one database.
struct DatabaseUpkeep<'a> {
    context: &'static str,
    index: usize,
    home: Shard,
    database: &'a Database,
}

impl DatabaseUpkeep<'_> {
    async fn run(self, stop: CancellationToken) {
        let (mut figures, mut partitions) = (interval(FIGURES_EVERY), interval(PARTITIONS_EVERY));
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = figures.tick() => self.measure().await,
                _ = partitions.tick() => {
                    let done = self.partitions().await;
                    if done.is_err() {
                        partitions.reset_after(FIGURES_EVERY);
                    }
                    done
                }
            };
            if let Err(error) = done {
                tracing::warn!(context = self.context, database = self.index, %error, "upkeep: later");
            }
        }
    }

    async fn measure(&self) -> Result<(), sqlx::Error> {
        let measure = self.database.read(self.home, Freshness::Primary, |db| {
            let both = async move {
                Ok::<_, sqlx::Error>((store::depth(db).await?, store::dead_lettered(db).await?))
            };
            both.boxed()
        });
        let (depth, dead_letters) = measure.await?;
        metrics::outbox(self.context, self.index, depth);
        metrics::dead_letters(self.context, self.index, dead_letters);
        Ok(())
    }

    async fn partitions(&self) -> Result<(), sqlx::Error> {
        let upkeep = self
            .database
            .transaction(self.home, |tx| store::upkeep(tx, OUTBOX_DAYS, INBOX_DAYS).boxed());
        upkeep.await
    }
}
