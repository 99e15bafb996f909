//! A cache inside the process (in-process cache, near cache, L1) for what is read often and may be a moment old.
//!
//! Read-through: [`Cache::get`] answers from memory, or loads. A value lives for a fixed time, counted from the moment at
//! which its load began. Whoever changes something calls [`Cache::forget`] after the commit, and from then on nobody in this
//! process is shown what was before.
//!
//! Confirmed values live longer. Whoever follows what changes at the source polls it, and calls [`Cache::confirm`] with what it
//! names: that is forgotten, and the time of everything else counts from the poll. So nothing that is shown was replaced
//! longer ago than `life`; when the source does not answer, everything is loaded again once that has passed.
//!
//! - One load per key at a time (single flight, request coalescing): who comes meanwhile waits for it, however many they are.
//!   A load that takes longer than a value lives is joined no more, and if its value is followed it is stored for the next, when it
//!   ends first. One that fails fails for all, who try once more together.
//! - No late fill: a load that began before the key was forgotten answers those who were waiting for it, and is not stored;
//!   who comes after does not join it. That is what leases are for in "Scaling Memcache at Facebook" (NSDI 2013, 3.2.1).
//! - Bounded in bytes, and one long scan does not push out what is asked for again and again (`quick_cache`, S3-FIFO).
//!
//! Other processes are not notified of a change: what they show was replaced `life` ago at most.

mod flights;
pub mod redis;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use quick_cache::Weighter;
use quick_cache::sync::Cache as Bounded;
use telemetry::catalogue::{CACHE_BYTES, CACHE_READS};
use telemetry::metrics::prometheus::{IntCounter, IntGauge};
use tokio::time::{Instant, timeout};

use flights::{Flight, Flights, Lease};

/// Values by key. Cheap to clone; all clones share what they hold.
pub struct Cache<K, V, E>(Arc<Inner<K, V, E>>);

/// How much a cache holds, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of keys and values, as [`Value::bytes`] tells them.
    pub bytes: u64,
    /// Time to live, from the beginning of the load or from the last confirmation.
    pub life: Duration,
    /// Maximum age of what is confirmed, from the beginning of the load.
    pub confirmed_life: Duration,
}

/// How much of what happened at the source is known, a high-water mark. What it counts is the source's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u64);

impl Level {
    /// Of what was read from the source itself.
    pub const NEWEST: Self = Self(u64::MAX);
}

/// What a load brings.
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    /// The value.
    pub value: V,
    /// No change up to this one is missing in it. A lower one than was confirmed before the load began: it comes from somebody
    /// who knew less, changes that it lacks will not be named again, and it is not confirmed.
    pub level: Level,
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
type Load<K, V, E> = dyn Fn(K) -> BoxFuture<'static, Result<Loaded<V>, E>> + Send + Sync;

struct Inner<K, V, E> {
    kept: Bounded<K, Kept<V>, Weight>,
    /// Loads under way that may be joined and stored.
    flights: Mutex<Flights<K, V, E>>,
    load: Box<Load<K, V, E>>,
    limits: Limits,
    made_at: Instant,
    /// When the source was asked for what has changed, in nanoseconds since `made_at`; 0: never.
    confirmed: AtomicU64,
    reads: Reads,
    bytes: IntGauge,
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
    /// When its load did.
    began: Instant,
    /// Changes of it will be named.
    followed: bool,
}

struct Reads {
    hit: IntCounter,
    joined: IntCounter,
    loaded: IntCounter,
    stale: IntCounter,
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
        F: Fn(K) -> BoxFuture<'static, Result<Loaded<V>, E>> + Send + Sync + 'static,
    {
        let reads = |outcome| CACHE_READS.with_label_values(&[name, outcome]);
        let reads = Reads {
            hit: reads("hit"),
            joined: reads("joined"),
            loaded: reads("loaded"),
            stale: reads("stale"),
        };
        let entries = usize::try_from(limits.bytes).unwrap_or(usize::MAX) / 512; // a first guess
        Self(Arc::new(Inner {
            kept: Bounded::with_weighter(entries, limits.bytes, Weight),
            flights: Mutex::new(Flights {
                by_key: HashMap::new(),
                count: 0,
                level: Level::default(),
            }),
            load: Box::new(load),
            limits,
            made_at: Instant::now(),
            confirmed: AtomicU64::new(0),
            reads,
            bytes: CACHE_BYTES.with_label_values(&[name]),
        }))
    }

    /// What `key` leads to, or led to within the time to live; no older than the last [`Cache::forget`] of it.
    ///
    /// # Errors
    /// Those of the load. Who joined one that failed takes part in one more: its deadline was somebody else's.
    pub async fn get(&self, key: K) -> Result<V, E> {
        match self.ask(&key).await {
            (Err(_), true) => self.ask(&key).await.0,
            (outcome, _) => outcome,
        }
    }

    /// The same. When the source is away (its error says so, or it does not answer within `patience`): what `key` led to when it
    /// was last known, if it was loaded within `confirmed_life` and not forgotten since (`stale-if-error` of RFC 5861).
    ///
    /// # Errors
    /// As for [`Cache::get`].
    pub async fn get_or_stale(
        &self,
        key: K,
        patience: Duration,
        away: impl Fn(&E) -> bool,
    ) -> Result<V, E> {
        if let Some(value) = self.0.kept(&key) {
            self.0.reads.hit.inc();
            return Ok(value);
        }
        if self.0.stale(&key).is_none() {
            return self.get(key).await;
        }
        let failed = match timeout(patience, self.get(key.clone())).await {
            Ok(Err(error)) if away(&error) => Some(error),
            Ok(outcome) => return outcome,
            Err(_) => None,
        };
        match (self.0.stale(&key), failed) {
            (Some(stale), _) => {
                self.0.reads.stale.inc();
                Ok(stale)
            }
            // It was forgotten meanwhile.
            (None, Some(error)) => Err(error),
            (None, None) => self.get(key).await,
        }
    }

    /// What would be shown from memory now.
    pub fn peek(&self, key: &K) -> Option<V> {
        self.0.kept(key)
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

    /// The same for what is `stale`. A load that is under way has no value yet.
    pub fn forget_if(&self, stale: impl Fn(&K, Option<&V>) -> bool) {
        self.0.forget_if(&mut locked(&self.0.flights), stale);
    }

    /// At `asked_at` the source was asked for what had changed: all of it, up to `level`, is `stale`. It is forgotten, and what
    /// is kept beside it was current at that moment. A load that is under way has no value yet. False, and nothing is
    /// done: an earlier call had a higher level, whoever answered knows less.
    pub fn confirm(
        &self,
        asked_at: Instant,
        level: Level,
        stale: impl Fn(&K, Option<&V>) -> bool,
    ) -> bool {
        let mut flights = locked(&self.0.flights);
        if level < flights.level {
            return false;
        }
        // In this order, and under one lock: a load that begins after the first step is compared with this level.
        flights.level = level;
        self.0.forget_if(&mut flights, stale);
        self.0.confirmed_at(asked_at);
        true
    }

    /// The same when it is not known what has changed, or `level` does not go on from the last: all is forgotten.
    pub fn restart(&self, asked_at: Instant, level: Level) {
        let mut flights = locked(&self.0.flights);
        flights.by_key.clear();
        self.0.kept.clear();
        flights.level = level;
        self.0.confirmed_at(asked_at);
    }

    /// The highest level that was confirmed.
    pub fn level(&self) -> Level {
        locked(&self.0.flights).level
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
    fn forget_if(&self, flights: &mut Flights<K, V, E>, stale: impl Fn(&K, Option<&V>) -> bool) {
        flights.by_key.retain(|key, _| !stale(key, None));
        self.kept.retain(|key, kept| !stale(key, Some(&kept.value)));
    }

    fn confirmed_at(&self, asked_at: Instant) {
        let since = asked_at.saturating_duration_since(self.made_at).as_nanos();
        self.confirmed.fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn kept(&self, key: &K) -> Option<V> {
        // Before the value is looked at: what was forgotten for this confirmation is gone by now.
        let confirmed = Duration::from_nanos(self.confirmed.load(Ordering::Acquire));
        let Kept { value, began, followed } = self.kept.get(key)?;
        let Limits { life, confirmed_life, .. } = self.limits;
        let now = Instant::now();
        let is_confirmed = || now < began + confirmed_life && now < self.made_at + confirmed + life;
        (now < began + life || followed && is_confirmed()).then_some(value)
    }

    fn stale(&self, key: &K) -> Option<V> {
        let Kept { value, began, followed } = self.kept.get(key)?;
        (followed && Instant::now() < began + self.limits.confirmed_life).then_some(value)
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
        let (number, until) = (flights.count, now + self.limits.life);
        let before = flights.by_key.remove(key).map(|flight| flight.numbers);
        let numbers = before.into_iter().flatten().chain([number]).collect();
        let (inner, level) = (Arc::clone(self), flights.level);
        let lease = Lease { inner, key: key.clone(), number, began: now, level };
        let loading = lease.load().boxed().shared();
        if let Some(weak) = loading.downgrade() {
            flights.by_key.insert(key.clone(), Flight { numbers, until, loading: weak });
        }
        Source::New(loading)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
