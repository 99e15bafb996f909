//! What is shown of products. It is shown from memory as long as the database has said within the last half second that it has not
//! changed; what this copy has changed is read again at once. A checkout's prices never come from here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, Level, Limits, Loaded, Value};
use database::{Database, Freshness, Gathered, ONLY_SHARD, Tx, again};
use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use kernel::ProductId;
use tokio::time::Instant;

use crate::store::changes::Change;
use crate::store::{self, Offered};

/// Another copy's changes are shown that late at most. The gateway keeps answers for as long again: a second in all.
pub(super) const LIFE: Duration = Duration::from_millis(500);
/// Maximum number of products of one statement.
const GATHERED_MAX: usize = 64;

/// Reads products to be shown. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Offers {
    database: Database,
    /// Those that are asked for at one moment, with one statement.
    single: Gathered<ProductId, Option<Offered>>,
    /// None: everything is read each time.
    kept: Option<Cache<ProductId, Option<Offered>, Arc<sqlx::Error>>>,
}

impl Value for Offered {
    fn bytes(&self) -> usize {
        let listing = &self.product.listing;
        let texts = [&self.product.sku, &listing.name, &listing.description, &listing.category];
        texts.into_iter().map(String::capacity).sum()
    }
}

impl Offers {
    /// Keeps so many bytes of products in memory, each so long at most; 0: none.
    pub(crate) fn new(database: &Database, bytes: u64, confirmed_life: Duration) -> Self {
        let single = database.gather("product.get", GATHERED_MAX, |db, ids| {
            async move { store::each_product(db, &ids).await }.boxed()
        });
        let keep = || {
            let single = single.clone();
            let limits = Limits { bytes, life: LIFE, confirmed_life };
            Cache::new("product.offers", limits, move |id| {
                let single = single.clone();
                let read = async move {
                    let value = single.read(ONLY_SHARD, id).await.map_err(Arc::new)?;
                    Ok(Loaded { value, level: Level::NEWEST })
                };
                read.boxed()
            })
        };
        let kept = (bytes > 0).then(keep);
        Self { database: database.clone(), single, kept }
    }

    /// A product, retired or not; none when there is none.
    pub(crate) async fn one(&self, id: ProductId) -> Result<Option<Offered>, sqlx::Error> {
        match &self.kept {
            Some(kept) => kept.get(id).await.map_err(|error| again(&error)),
            None => self.single.read(ONLY_SHARD, id).await,
        }
    }

    /// Those of the products that exist.
    pub(crate) async fn those(&self, ids: Vec<ProductId>) -> Result<Vec<Offered>, sqlx::Error> {
        match &self.kept {
            Some(kept) if ids.len() <= GATHERED_MAX => {
                let ids = BTreeSet::from_iter(ids);
                let each = try_join_all(ids.into_iter().map(|id| kept.get(id))).await;
                Ok(each.map_err(|error| again(&error))?.into_iter().flatten().collect())
            }
            _ => self.current(ids).await,
        }
    }

    /// Those of the products that exist, as they are in the primary now.
    pub(crate) async fn current(&self, ids: Vec<ProductId>) -> Result<Vec<Offered>, sqlx::Error> {
        let read = self.database.read(ONLY_SHARD, Freshness::Primary, move |db| {
            async move { store::products(db, &ids).await }.boxed()
        });
        read.await
    }

    /// The database was asked at `asked_at` what had changed by `level`, and this is it.
    pub(super) fn take_in(&self, asked_at: Instant, level: Level, change: &Change) {
        let Some(kept) = &self.kept else { return };
        match &change.products {
            None => kept.restart(asked_at, level),
            Some(products) => {
                kept.confirm(asked_at, level, |id, _| products.contains(id));
            }
        }
    }

    /// Once `tx` is committed, these are read again.
    pub(crate) fn changed_by(&self, tx: &mut Tx, ids: impl IntoIterator<Item = ProductId>) {
        if let Some(kept) = self.kept.clone() {
            let ids: Vec<ProductId> = ids.into_iter().collect();
            tx.after_commit(move || kept.forget(&ids));
        }
    }
}
