use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::oneshot;
use tokio::time::advance;

use super::*;

const LIFE: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits { bytes: 1 << 20, life: LIFE };

impl Value for u64 {
    fn bytes(&self) -> usize {
        0
    }
}

/// Loads that end when the test says so, oldest first.
type Pending = Arc<Mutex<VecDeque<(u8, oneshot::Sender<Result<u64, &'static str>>)>>>;

fn by_hand() -> (Cache<u8, u64, &'static str>, Pending) {
    let pending = Pending::default();
    let asked = Arc::clone(&pending);
    let cache = Cache::new("test", LIMITS, move |key| {
        let (end, ended) = oneshot::channel();
        locked(&asked).push_back((key, end));
        async move { ended.await.unwrap() }.boxed()
    });
    (cache, pending)
}

fn end(pending: &Pending, with: Result<u64, &'static str>) {
    let (_, end) = locked(pending).pop_front().unwrap();
    let _ = end.send(with);
}

/// Runs until everything waits.
fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_lives_from_the_beginning_of_its_load() {
    let (cache, pending) = by_hand();
    let mut first = Box::pin(cache.get(1));
    assert_eq!(poll(&mut first), None);
    advance(Duration::from_millis(400)).await;
    end(&pending, Ok(7));
    assert_eq!(poll(&mut first), Some(Ok(7)));
    advance(Duration::from_millis(599)).await;
    assert_eq!(cache.get(1).await, Ok(7));
    advance(Duration::from_millis(1)).await;
    assert_eq!(poll(&mut Box::pin(cache.get(1))), None, "a second after the load began");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_misses_of_one_key_are_one_load() {
    let (cache, pending) = by_hand();
    let mut reads: Vec<_> = (0..10_000).map(|_| Box::pin(cache.get(1))).collect();
    assert!(reads.iter_mut().all(|read| poll(read).is_none()));
    assert_eq!(locked(&pending).len(), 1);
    end(&pending, Ok(5));
    assert!(reads.iter_mut().all(|read| poll(read) == Some(Ok(5))));
    assert!(locked(&pending).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_load_from_before_the_change_is_neither_joined_nor_stored() {
    let (cache, pending) = by_hand();
    let mut before = Box::pin(cache.get(1));
    assert_eq!(poll(&mut before), None);
    cache.forget(&[1]);
    let mut after = Box::pin(cache.get(1));
    assert_eq!(poll(&mut after), None);
    assert_eq!(locked(&pending).len(), 2, "it loads for itself");
    end(&pending, Ok(1));
    assert_eq!((poll(&mut before), poll(&mut after)), (Some(Ok(1)), None));
    end(&pending, Ok(2));
    assert_eq!(poll(&mut after), Some(Ok(2)));
    assert_eq!(cache.get(1).await, Ok(2));
    cache.clear();
    assert_eq!(poll(&mut Box::pin(cache.get(1))), None);
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_failed_load_takes_part_in_one_more() {
    let (cache, pending) = by_hand();
    let mut reads: Vec<_> = (0..3).map(|_| Box::pin(cache.get(1))).collect();
    assert!(reads.iter_mut().all(|read| poll(read).is_none()));
    assert_eq!(locked(&pending).len(), 1);
    end(&pending, Err("its deadline"));
    assert_eq!(poll(&mut reads[1]), None);
    assert_eq!(poll(&mut reads[2]), None);
    assert_eq!(poll(&mut reads[0]), Some(Err("its deadline")));
    assert_eq!(locked(&pending).len(), 1, "both in one");
    end(&pending, Err("the database is away"));
    for read in &mut reads[1..] {
        assert_eq!(poll(read), Some(Err("the database is away")), "and no third");
    }
    assert!(locked(&pending).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_while_anybody_waits_and_leaves_nothing_behind() {
    let (cache, pending) = by_hand();
    let (mut first, mut second) = (Box::pin(cache.get(1)), Box::pin(cache.get(1)));
    assert_eq!((poll(&mut first), poll(&mut second)), (None, None));
    drop(first);
    assert_eq!(locked(&cache.0.flights).by_key.len(), 1);
    end(&pending, Ok(4));
    assert_eq!(poll(&mut second), Some(Ok(4)));

    let mut third = Box::pin(cache.get(2));
    assert_eq!(poll(&mut third), None);
    drop(third);
    assert!(locked(&cache.0.flights).by_key.is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_more_bytes_than_it_may_and_a_scan_pushes_nothing_popular_out() {
    let loads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&loads);
    let limits = Limits { bytes: 64 << 10, life: Duration::from_secs(3_600) };
    let cache: Cache<u32, u64, ()> = Cache::new("test", limits, move |key| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(u64::from(key)) }.boxed()
    });
    let popular = 0..50;
    for _ in 0..3 {
        for key in popular.clone() {
            cache.get(key).await.unwrap();
        }
    }
    for key in 1_000..20_000 {
        cache.get(key).await.unwrap();
    }
    assert!(cache.0.kept.weight() <= 64 << 10);
    let before = loads.load(Ordering::Relaxed);
    for key in popular {
        cache.get(key).await.unwrap();
    }
    let again = loads.load(Ordering::Relaxed) - before;
    assert!(again <= 5, "{again} of 50 had to be loaded again");
}

type Get = Pin<Box<dyn Future<Output = Result<u64, &'static str>>>>;

/// What is read, changed, forgotten, slow, failed and given up on, in any order.
struct World {
    random: StdRng,
    cache: Cache<u8, u64, &'static str>,
    pending: Pending,
    /// Loads that have read the database, and what.
    read: Vec<(u64, oneshot::Sender<Result<u64, &'static str>>)>,
    gets: Vec<(u8, u64, Get)>,
    /// The committed version of each key.
    committed: [u64; KEYS],
    /// Up to which version it was forgotten.
    forgotten: [u64; KEYS],
    /// The newest that was shown from memory.
    shown: [u64; KEYS],
    /// When each version was replaced.
    replaced: [Vec<Instant>; KEYS],
    hits: u64,
}

const KEYS: usize = 2;

impl World {
    fn new(seed: u64) -> Self {
        let (cache, pending) = by_hand();
        Self {
            random: StdRng::seed_from_u64(seed),
            cache,
            pending,
            read: Vec::new(),
            gets: Vec::new(),
            committed: [0; KEYS],
            forgotten: [0; KEYS],
            shown: [0; KEYS],
            replaced: Default::default(),
            hits: 0,
        }
    }

    async fn step(&mut self) {
        let key = self.random.random_range(0..KEYS);
        match self.random.random_range(0..100) {
            0..35 => self.ask(key),
            35..50 => self.go_on(),
            50..65 => self.read_one(),
            65..80 => self.end_one(),
            80..86 => self.commit(key),
            86..92 => {
                self.cache.forget(&[key as u8]);
                self.forgotten[key] = self.committed[key];
            }
            92..95 if !self.gets.is_empty() => {
                let at = self.random.random_range(0..self.gets.len());
                drop(self.gets.swap_remove(at)); // the caller has left
            }
            _ => advance(Duration::from_millis(self.random.random_range(0..300))).await,
        }
    }

    fn ask(&mut self, key: usize) {
        let cache = self.cache.clone();
        let mut get: Get = Box::pin(async move { cache.get(key as u8).await });
        let floor = self.forgotten[key];
        match poll(&mut get) {
            None => self.gets.push((key as u8, floor, get)),
            Some(shown) => {
                let shown = shown.unwrap();
                self.hits += 1;
                assert!(shown >= floor, "{shown} is shown, and {floor} was told of");
                assert!(shown >= self.shown[key], "{shown} after {}", self.shown[key]);
                self.shown[key] = shown;
                if let Some(replaced) = self.replaced[key].get(shown as usize) {
                    assert!(replaced.elapsed() < LIFE, "replaced {:?} ago", replaced.elapsed());
                }
            }
        }
    }

    fn go_on(&mut self) {
        let mut waiting = Vec::new();
        for (key, floor, mut get) in std::mem::take(&mut self.gets) {
            match poll(&mut get) {
                Some(Ok(shown)) => assert!(shown >= floor, "{shown}, and {floor} was told of"),
                Some(Err(_)) => {}
                None => waiting.push((key, floor, get)),
            }
        }
        self.gets = waiting;
    }

    fn read_one(&mut self) {
        if let Some((key, end)) = locked(&self.pending).pop_front() {
            self.read.push((self.committed[usize::from(key)], end));
        }
    }

    fn end_one(&mut self) {
        if !self.read.is_empty() {
            let at = self.random.random_range(0..self.read.len());
            let (version, end) = self.read.swap_remove(at);
            let fails = self.random.random_range(0..20) == 0;
            let _ = end.send(if fails { Err("the database is away") } else { Ok(version) });
        }
    }

    fn commit(&mut self, key: usize) {
        self.committed[key] += 1;
        self.replaced[key].push(Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_million_interleavings_nothing_old_is_shown() {
    let mut hits = 0;
    for seed in 0..1_000 {
        let mut world = World::new(seed);
        for _ in 0..1_000 {
            world.step().await;
        }
        hits += world.hits;
    }
    assert!(hits > 50_000, "{hits} answers from memory say nothing");
}
