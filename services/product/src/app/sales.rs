//! Bestsellers, categories, and what is bought together. Bestsellers and categories are precomputed by whichever copy finds them due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, Level, Limits, Loaded, Value};
use database::{Database, Freshness, ONLY_SHARD, again};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::ProductId;
use telemetry::catalogue::VIEW_REFRESHES;
use telemetry::context::unrecorded;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{App, Error};
use crate::store::Offered;
use crate::store::sales::{self, AsOf, View};

/// Time to live of a ranking: what is bought with a product takes a row per companion and month to rank.
const LIFE: Duration = Duration::from_secs(5);
/// All rankings together.
const BYTES: u64 = 1 << 20;
/// The longest ranking: more than a page shows, since some are off sale by then.
const RANKED_MAX: i64 = 300;
/// How many products of a ranking are read with one statement: some are off sale.
const PART_MIN: usize = 16;
const PART_MAX: usize = 64;
const CATEGORIES_MAX: i64 = 1_000;
/// A view is refreshed for a twentieth of the time at most.
const PAUSE: u32 = 20;
/// Less than the timeout of a transaction.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(8);
/// For how long a copy claims a view. Longer than the longest pause, so that a later time than this tells that the clock was set
/// back. A copy that dies delays the next refresh by so much.
const LEASE: Duration = Duration::from_secs(300);

/// What is ranked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Ranking {
    /// Of a category, unless it is empty.
    Bestsellers(String),
    BoughtWith(ProductId),
}

/// Products with what they are ranked by, the first first.
#[derive(Clone, Debug)]
struct Ranked {
    products: Arc<[(ProductId, i64)]>,
    as_of: Option<OffsetDateTime>,
}

impl Value for Ranked {
    fn bytes(&self) -> usize {
        size_of_val(&*self.products)
    }
}

/// Rankings, as they were within the last seconds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sales {
    database: Database,
    /// None: each is read.
    kept: Option<Cache<Ranking, Ranked, Arc<sqlx::Error>>>,
}

impl Sales {
    pub(crate) fn new(database: &Database, may_keep: bool) -> Self {
        let keep = || {
            let database = database.clone();
            let limits = Limits { bytes: BYTES, life: LIFE, confirmed_life: LIFE };
            Cache::new("product.rankings", limits, move |ranking| {
                let read = read(database.clone(), ranking);
                async move {
                    let value = read.await.map_err(Arc::new)?;
                    Ok(Loaded { value, level: Level::default() })
                }
                .boxed()
            })
        };
        Self { database: database.clone(), kept: may_keep.then(keep) }
    }

    async fn ranked(&self, ranking: Ranking) -> Result<Ranked, sqlx::Error> {
        match &self.kept {
            Some(kept) => kept.get(ranking).await.map_err(|error| again(&error)),
            None => read(self.database.clone(), ranking).await,
        }
    }
}

async fn read(database: Database, ranking: Ranking) -> Result<Ranked, sqlx::Error> {
    let read = database.read(ONLY_SHARD, Freshness::Primary, move |db| {
        let read = async move {
            let (products, as_of) = match ranking {
                Ranking::Bestsellers(category) => {
                    let AsOf { rows, as_of } =
                        sales::bestsellers(db, &category, RANKED_MAX).await?;
                    (rows, Some(as_of))
                }
                Ranking::BoughtWith(id) => {
                    (sales::bought_together(db, id, RANKED_MAX).await?, None)
                }
            };
            Ok(Ranked { products: products.into(), as_of })
        };
        read.boxed()
    });
    read.await
}

impl App {
    /// What is on sale and was sold most within a week, with how many pieces; of a category unless that is empty.
    pub(crate) async fn bestsellers(
        &self,
        category: String,
        limit: usize,
    ) -> Result<AsOf<Offered>, Error> {
        let ranked = self.sales.ranked(Ranking::Bestsellers(category.clone())).await?;
        let as_of = ranked.as_of.ok_or(sqlx::Error::RowNotFound)?;
        let is_of_it =
            |it: &Offered| category.is_empty() || it.product.listing.category == category;
        Ok(AsOf { rows: self.on_sale(&ranked.products, limit, is_of_it).await?, as_of })
    }

    /// The categories that have products on sale, with how many: the first [`CATEGORIES_MAX`] by name.
    pub(crate) async fn categories(&self) -> Result<AsOf<String>, Error> {
        self.read(|db| sales::categories(db, CATEGORIES_MAX).boxed()).await
    }

    /// What is on sale and is bought with a product, with in how many orders.
    pub(crate) async fn bought_together(
        &self,
        id: ProductId,
        limit: usize,
    ) -> Result<Vec<(Offered, i64)>, Error> {
        self.product(id).await?;
        let ranked = self.sales.ranked(Ranking::BoughtWith(id)).await?;
        self.on_sale(&ranked.products, limit, |_| true).await
    }

    /// The first `limit` of these that are on sale, and wanted.
    pub(super) async fn on_sale(
        &self,
        ranked: &[(ProductId, i64)],
        limit: usize,
        is_wanted: impl Fn(&Offered) -> bool,
    ) -> Result<Vec<(Offered, i64)>, Error> {
        let mut found = Vec::new();
        for part in ranked.chunks((limit * 2).clamp(PART_MIN, PART_MAX)) {
            if found.len() == limit {
                break;
            }
            let offered = self.offers.those(part.iter().map(|(id, _)| *id).collect()).await?;
            let mut offered: HashMap<_, _> =
                offered.into_iter().map(|it| (it.product.id, it)).collect();
            let part = part.iter().filter_map(|(id, n)| Some((offered.remove(id)?, *n)));
            let wanted = part.filter(|(it, _)| !it.product.retired && is_wanted(it));
            found.extend(wanted.take(limit - found.len()));
        }
        Ok(found)
    }

    /// Refreshes a view every `every`, until `stop`. Of all copies, one does it at a time.
    pub(crate) fn refresh(
        self,
        view: View,
        every: Duration,
        stop: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut due_in = Duration::ZERO;
            while stop.run_until_cancelled(sleep(due_in)).await.is_some() {
                let refreshed = self.refresh_if_due(view, every).instrument(unrecorded()).await;
                due_in = refreshed.unwrap_or_else(|error| {
                    tracing::warn!(%error, view = view.name(), "a view may be old: will try again");
                    every
                });
            }
            Ok(())
        })
    }

    /// Returns in how long it may be due again.
    async fn refresh_if_due(&self, view: View, every: Duration) -> Result<Duration, Error> {
        let horizon = every.max(LEASE);
        let due = self.read(move |db| sales::due(db, view, horizon).boxed()).await?;
        if let Some(due_in) = due.after {
            return Ok(due_in.min(every)); // it may be claimed, and given back sooner
        }
        let Some(claimed) = self.put_off(view, due.at, LEASE).await? else { return Ok(every) };
        let begin = Instant::now();
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            async move { Ok::<_, Error>(sales::refresh(tx, view, REFRESH_TIMEOUT).await?) }.boxed()
        });
        let refreshed = work.await;
        let outcome = if refreshed.is_ok() { "done" } else { "failed" };
        VIEW_REFRESHES.with_label_values(&[view.name(), outcome]).inc();
        // If this fails, or this copy dies, it is due when the lease is over.
        let pause = pause(every, begin.elapsed()).min(horizon);
        refreshed.and(self.put_off(view, claimed, pause).await)?;
        Ok(pause.min(every))
    }

    async fn put_off(
        &self,
        view: View,
        seen: OffsetDateTime,
        due_in: Duration,
    ) -> Result<Option<OffsetDateTime>, Error> {
        let put_off = self.database.write(ONLY_SHARD, move |db| {
            async move { Ok::<_, Error>(sales::put_off(db, view, seen, due_in).await?) }.boxed()
        });
        put_off.await
    }
}

/// How long after a refresh that took so long the next one is due.
fn pause(every: Duration, took: Duration) -> Duration {
    every.max(took * PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_view_is_refreshed_less_often_and_a_pause_is_shorter_than_a_lease() {
        let [minute, second] = [60, 1].map(Duration::from_secs);
        assert_eq!(pause(minute, second), minute);
        assert_eq!(pause(minute, REFRESH_TIMEOUT), REFRESH_TIMEOUT * 20);
        assert!(pause(minute, REFRESH_TIMEOUT) < LEASE);
    }
}
