//! Reads of one kind, gathered: those of one moment are one statement on each database.

use std::sync::Arc;

use batching::{Batcher, Limits, Unanswered};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::Shard;
use sqlx::{Error, PgConnection};

use crate::{Database, Freshness, shared};

/// Two statements at once on each database; what comes meanwhile is in the next.
const UNDER_WAY: usize = 2;

/// Answers each key, in their order.
pub type ReadAll<K, V> =
    for<'c> fn(&'c mut PgConnection, Vec<K>) -> BoxFuture<'c, Result<Vec<V>, Error>>;

/// Reads by key: many readers at one moment share a statement. Cheap to clone.
pub struct Gathered<K, V> {
    database: Database,
    readers: Arc<[Batcher<K, Result<V, Error>>]>,
}

impl<K, V> Clone for Gathered<K, V> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), readers: Arc::clone(&self.readers) }
    }
}

impl Database {
    /// Gathers what is read by `read`, at most `size` keys at once, from the primaries. `name` is a label of metrics.
    pub fn gather<K, V>(
        &self,
        name: &'static str,
        size: usize,
        read: ReadAll<K, V>,
    ) -> Gathered<K, V>
    where
        K: Send + 'static,
        V: Send + 'static,
    {
        let reader = |home| {
            let database = self.clone();
            Batcher::new(name, Limits { size, under_way: UNDER_WAY }, move |keys| {
                read_all(database.clone(), home, keys, read).boxed()
            })
        };
        let readers = self.one_shard_per_database().map(reader).collect();
        Gathered { database: self.clone(), readers }
    }
}

impl<K: Send + 'static, V: Send + 'static> Gathered<K, V> {
    /// What `key` leads to now: the statement begins after this was asked.
    ///
    /// # Errors
    /// Those of the statement, for all who shared it.
    pub async fn read(&self, shard: Shard, key: K) -> Result<V, Error> {
        let reader = &self.readers[self.database.index_of(shard)];
        reader.ask(key).await.unwrap_or_else(|Unanswered| Err(Error::WorkerCrashed))
    }
}

async fn read_all<K, V>(
    database: Database,
    home: Shard,
    keys: Vec<K>,
    read: ReadAll<K, V>,
) -> Vec<Result<V, Error>>
where
    K: Send + 'static,
    V: Send + 'static,
{
    let count = keys.len();
    match database.read(home, Freshness::Primary, move |db| read(db, keys)).await {
        Ok(values) => values.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = shared(error);
            (0..count).map(|_| Err(error())).collect()
        }
    }
}
