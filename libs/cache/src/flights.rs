//! Loads under way. Of a key there may be several: who comes when one takes longer than a value lives begins another, and
//! whichever ends first is stored for the next.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::future::WeakShared;
use tokio::time::Instant;

use super::{Inner, Kept, Level, Loaded, Loading, Value, locked};

/// Those that may be joined and stored, by key.
pub(super) struct Flights<K, V, E> {
    pub(super) by_key: HashMap<K, Flight<V, E>>,
    /// How many there have been: the number of the last.
    pub(super) count: u64,
    /// All changes up to this one have been forgotten.
    pub(super) level: Level,
}

/// The last that began for a key, and those before it.
pub(super) struct Flight<V, E> {
    pub(super) number: u64,
    /// The first that began since the key was forgotten, or stored.
    pub(super) first: u64,
    /// As long as what it brings may be shown.
    pub(super) until: Instant,
    pub(super) loading: WeakShared<Loading<V, E>>,
}

/// The right of a load to be joined and stored, until its key is forgotten. Ends with the load, and when nobody waits for it.
pub(super) struct Lease<K: Clone + Eq + Hash, V, E> {
    pub(super) inner: Arc<Inner<K, V, E>>,
    pub(super) key: K,
    pub(super) number: u64,
    pub(super) began: Instant,
    /// What was known by then.
    pub(super) level: Level,
}

impl<K, V, E> Lease<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Value,
    E: Clone + Send + Sync + 'static,
{
    pub(super) async fn load(self) -> Result<V, E> {
        let Loaded { value, level } = (self.inner.load)(self.key.clone()).await?;
        let followed = level >= self.level;
        self.store(Kept { value: value.clone(), began: self.began, followed });
        Ok(value)
    }

    /// Unless the key was forgotten since the load began: then the lease is revoked.
    pub(super) fn store(&self, kept: Kept<V>) {
        let flights = locked(&self.inner.flights);
        if flights.may_be_stored(&self.key, self.number) {
            self.inner.kept.insert(self.key.clone(), kept);
            self.inner.bytes.set(i64::try_from(self.inner.kept.weight()).unwrap_or(i64::MAX));
        }
    }
}

impl<K: Clone + Eq + Hash, V, E> Drop for Lease<K, V, E> {
    fn drop(&mut self) {
        let mut flights = locked(&self.inner.flights);
        if flights.is_last(&self.key, self.number) {
            flights.by_key.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V, E> Flights<K, V, E> {
    fn may_be_stored(&self, key: &K, number: u64) -> bool {
        self.by_key.get(key).is_some_and(|it| (it.first..=it.number).contains(&number))
    }

    fn is_last(&self, key: &K, number: u64) -> bool {
        self.by_key.get(key).is_some_and(|it| it.number == number)
    }
}
