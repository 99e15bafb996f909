//! A cache inside the process (in-process cache, near cache, L1) for what is read often and may be a moment old.
//!
//! Read-through: [`Cache::get`] answers from memory, or loads. A value lives for a fixed time, counted from the moment at
//! which its load began, so nothing that is shown is older than that, whatever else fails. Whoever changes something calls
//! [`Cache::forget`] after the commit, and from then on nobody in this process is shown what was before.
//!
//! - One load per key at a time (single flight, request coalescing): who comes meanwhile waits for it, however many they are.
//!   A load that takes longer than a value lives is joined no more. One that fails fails for all, who try once more together.
//! - No late fill: a load that began before the key was forgotten answers those who were waiting for it, and is not stored;
//!   who comes after does not join it. That is what leases are for in "Scaling Memcache at Facebook" (NSDI 2013, 3.2.1).
//! - Bounded in bytes, and one long scan does not push out what is asked for again and again (`quick_cache`, S3-FIFO).
//!
//! Other processes are not notified of a change: what they show is as old as the time to live.

pub mod redis;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use quick_cache::Weighter;
use quick_cache::sync::Cache as Bounded;
use telemetry::catalogue::{CACHE_BYTES, CACHE_READS};
use telemetry::metrics::prometheus::{IntCounter, IntGauge};
use tokio::time::Instant;

/// Values by key. Cheap to clone; all clones share what they hold.
pub struct Cache<K, V, E>(Arc<Inner<K, V, E>>);

/// How much a cache holds, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of keys and values, as [`Value::bytes`] tells them.
    pub bytes: u64,
    /// Time to live, from the beginning of the load.
    pub life: Duration,
}

/// What can be kept.
pub trait Value: Clone + Send + Sync + 'static {
    /// About how many bytes it takes, heap included.
    fn bytes(&self) -> usize;
}

/// That there is nothing is kept as well.
impl<V: Value> Value for Option<V> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, V::bytes)
    }
}

type Loading<V, E> = BoxFuture<'static, Result<V, E>>;
type Load<K, V, E> = dyn Fn(K) -> Loading<V, E> + Send + Sync;

struct Inner<K, V, E> {
    kept: Bounded<K, Kept<V>, Weight>,
    /// Loads under way that may be joined and stored.
    flights: Mutex<Flights<K, V, E>>,
    load: Box<Load<K, V, E>>,
    life: Duration,
    reads: Reads,
    bytes: IntGauge,
}

struct Flights<K, V, E> {
    by_key: HashMap<K, Flight<V, E>>,
    /// How many there have been: the number of the last.
    count: u64,
}

struct Flight<V, E> {
    number: u64,
    /// As long as what it brings may be shown.
    until: Instant,
    loading: WeakShared<Loading<V, E>>,
}

/// Where an answer comes from.
enum Source<V, E> {
    Kept(V),
    Joined(Shared<Loading<V, E>>),
    New(Shared<Loading<V, E>>),
}

#[derive(Clone)]
struct Kept<V> {
    value: V,
    until: Instant,
}

struct Reads {
    hit: IntCounter,
    joined: IntCounter,
    loaded: IntCounter,
}

#[derive(Clone)]
struct Weight;

/// What an entry costs beside its value.
const OVERHEAD: usize = 64;

impl<K, V: Value> Weighter<K, Kept<V>> for Weight {
    fn weight(&self, _: &K, kept: &Kept<V>) -> u64 {
        (size_of::<K>() + size_of::<V>() + OVERHEAD + kept.value.bytes()) as u64
    }
}

impl<K, V, E> Cache<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Value,
    E: Clone + Send + Sync + 'static,
{
    /// An empty cache. `name` is a label of metrics.
    pub fn new<F>(name: &'static str, limits: Limits, load: F) -> Self
    where
        F: Fn(K) -> BoxFuture<'static, Result<V, E>> + Send + Sync + 'static,
    {
        let reads = |outcome| CACHE_READS.with_label_values(&[name, outcome]);
        let reads = Reads { hit: reads("hit"), joined: reads("joined"), loaded: reads("loaded") };
        let entries = usize::try_from(limits.bytes).unwrap_or(usize::MAX) / 512; // a first guess
        Self(Arc::new(Inner {
            kept: Bounded::with_weighter(entries, limits.bytes, Weight),
            flights: Mutex::new(Flights { by_key: HashMap::new(), count: 0 }),
            load: Box::new(load),
            life: limits.life,
            reads,
            bytes: CACHE_BYTES.with_label_values(&[name]),
        }))
    }

    /// What `key` leads to: at the moment of asking at most as old as the time to live, and no older than the last
    /// [`Cache::forget`] of it.
    ///
    /// # Errors
    /// Those of the load. Who joined one that failed takes part in one more: its deadline was somebody else's.
    pub async fn get(&self, key: K) -> Result<V, E> {
        match self.ask(&key).await {
            (Err(_), true) => self.ask(&key).await.0,
            (outcome, _) => outcome,
        }
    }

    /// True: it took part in a load that somebody else had begun.
    async fn ask(&self, key: &K) -> (Result<V, E>, bool) {
        let Inner { reads, .. } = &*self.0;
        match self.0.source(key) {
            Source::Kept(value) => {
                reads.hit.inc();
                (Ok(value), false)
            }
            Source::Joined(loading) => {
                reads.joined.inc();
                (loading.await, true)
            }
            Source::New(loading) => {
                reads.loaded.inc();
                (loading.await, false)
            }
        }
    }

    /// Nobody who asks from now on is shown what these keys led to before. To be called once the change is committed.
    pub fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a K>) {
        let mut flights = locked(&self.0.flights);
        for key in keys {
            flights.by_key.remove(key);
            self.0.kept.remove(key);
        }
    }

    /// The same for all keys.
    pub fn clear(&self) {
        let mut flights = locked(&self.0.flights);
        flights.by_key.clear();
        self.0.kept.clear();
    }
}

impl<K, V, E> Clone for Cache<K, V, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V, E> Inner<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Value,
    E: Clone + Send + Sync + 'static,
{
    fn kept(&self, key: &K) -> Option<V> {
        self.kept.get(key).filter(|kept| kept.until > Instant::now()).map(|kept| kept.value)
    }

    fn source(self: &Arc<Self>, key: &K) -> Source<V, E> {
        if let Some(value) = self.kept(key) {
            return Source::Kept(value);
        }
        let mut flights = locked(&self.flights);
        if let Some(value) = self.kept(key) {
            return Source::Kept(value); // stored a moment ago
        }
        let now = Instant::now();
        let under_way = flights.by_key.get(key).filter(|flight| flight.until > now);
        if let Some(loading) = under_way.and_then(|flight| flight.loading.upgrade()) {
            return Source::Joined(loading);
        }
        flights.count += 1;
        let (number, until) = (flights.count, now + self.life);
        let lease = Lease { inner: Arc::clone(self), key: key.clone(), number, until };
        let loading = lease.load().boxed().shared();
        if let Some(weak) = loading.downgrade() {
            flights.by_key.insert(key.clone(), Flight { number, until, loading: weak });
        }
        Source::New(loading)
    }
}

/// The right of a load to be joined and stored, until its key is forgotten. Ends with the load, and when nobody waits for it.
struct Lease<K: Clone + Eq + Hash, V, E> {
    inner: Arc<Inner<K, V, E>>,
    key: K,
    number: u64,
    until: Instant,
}

impl<K, V, E> Lease<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Value,
    E: Clone + Send + Sync + 'static,
{
    async fn load(self) -> Result<V, E> {
        let value = (self.inner.load)(self.key.clone()).await?;
        self.store(Kept { value: value.clone(), until: self.until });
        Ok(value)
    }

    /// Unless the key was forgotten since the load began: then the lease is revoked.
    fn store(&self, kept: Kept<V>) {
        let flights = locked(&self.inner.flights);
        if flights.is_current(&self.key, self.number) {
            self.inner.kept.insert(self.key.clone(), kept);
            self.inner.bytes.set(i64::try_from(self.inner.kept.weight()).unwrap_or(i64::MAX));
        }
    }
}

impl<K: Clone + Eq + Hash, V, E> Drop for Lease<K, V, E> {
    fn drop(&mut self) {
        let mut flights = locked(&self.inner.flights);
        if flights.is_current(&self.key, self.number) {
            flights.by_key.remove(&self.key);
        }
    }
}

impl<K: Eq + Hash, V, E> Flights<K, V, E> {
    fn is_current(&self, key: &K, number: u64) -> bool {
        self.by_key.get(key).is_some_and(|it| it.number == number)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
