//! Loads under way. Of a key there may be several: who comes when one takes longer than a value lives begins another, and
//! whichever ends first is stored for the next, who is shown it if it is followed.

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

/// Those of one key.
pub(super) struct Flight<V, E> {
    /// In the order in which they began. None began before what is kept did, or before the key was forgotten.
    pub(super) numbers: Vec<u64>,
    /// As long as what the last one brings may be shown.
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

    /// Unless the key was forgotten, or what a later load brought was stored, since the load began: then the lease is revoked.
    pub(super) fn store(&self, kept: Kept<V>) {
        let mut flights = locked(&self.inner.flights);
        if flights.stored(&self.key, self.number) {
            self.inner.kept.insert(self.key.clone(), kept);
            self.inner.bytes.set(i64::try_from(self.inner.kept.weight()).unwrap_or(i64::MAX));
        }
    }
}

impl<K: Clone + Eq + Hash, V, E> Drop for Lease<K, V, E> {
    fn drop(&mut self) {
        let mut flights = locked(&self.inner.flights);
        let Some(flight) = flights.by_key.get_mut(&self.key) else { return };
        if flight.numbers.last() == Some(&self.number) {
            flight.until = self.began; // it is over: nobody joins it, and no earlier one
        }
        flight.numbers.retain(|number| *number != self.number);
        if flight.numbers.is_empty() {
            flights.by_key.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V, E> Flights<K, V, E> {
    /// Whether this one may be stored. Then no earlier one may be.
    fn stored(&mut self, key: &K, number: u64) -> bool {
        let numbers = self.by_key.get_mut(key).map(|flight| &mut flight.numbers);
        let Some(numbers) = numbers.filter(|numbers| numbers.contains(&number)) else {
            return false;
        };
        numbers.retain(|it| *it >= number);
        true
    }
}
