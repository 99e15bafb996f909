//! What is read, changed, forgotten, confirmed, slow, failed and given up on, in any order.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// How old what another copy knows may be.
const LAG: Duration = Duration::from_millis(500);

type Get = Pin<Box<dyn Future<Output = Result<u64, &'static str>>>>;

/// All of it, one step after the other.
struct World {
    random: StdRng,
    cache: Cache<u8, u64, &'static str>,
    pending: Pending,
    /// Loads that have read, and what.
    read: Vec<(Loaded<u64>, End)>,
    gets: Vec<(u8, u64, Get)>,
    /// The committed version of each key.
    committed: [u64; KEYS],
    /// Which key each change was of. A level counts them.
    changes: Vec<u8>,
    /// Another copy, which reads and answers from what was committed a while ago.
    copy: Option<Copied>,
    following: Following,
    /// Loads take several lives.
    slow: bool,
    /// How often what a load brought was stored while a later one of its key went on.
    overtaking: u64,
    /// When the load of what is kept began.
    began: [Option<Instant>; KEYS],
    /// Up to which version it was forgotten.
    forgotten: [u64; KEYS],
    /// The newest that was shown from memory.
    shown: [u64; KEYS],
    /// When each version was replaced.
    replaced: [Vec<Instant>; KEYS],
    hits: u64,
}

const KEYS: usize = 2;

struct Copied {
    committed: [u64; KEYS],
    level: usize,
    at: Instant,
}

/// How far the one question is that is under way: what has changed since this level.
enum Following {
    Idle,
    Asked(Instant, usize),
    Answered(Instant, usize, Vec<u8>),
}

impl World {
    /// With another copy: what it answers may be `LAG` old, whatever was forgotten here.
    fn new(seed: u64, another: bool) -> Self {
        let (cache, pending) = by_hand();
        Self {
            random: StdRng::seed_from_u64(seed),
            cache,
            pending,
            read: Vec::new(),
            gets: Vec::new(),
            committed: [0; KEYS],
            changes: Vec::new(),
            copy: another.then(|| Copied { committed: [0; KEYS], level: 0, at: Instant::now() }),
            following: Following::Idle,
            slow: seed.is_multiple_of(3),
            overtaking: 0,
            began: [None; KEYS],
            forgotten: [0; KEYS],
            shown: [0; KEYS],
            replaced: Default::default(),
            hits: 0,
        }
    }

    async fn step(&mut self) {
        let key = self.random.random_range(0..KEYS);
        match self.random.random_range(0..100) {
            0..30 => self.ask(key),
            30..43 => self.go_on(),
            43..56 => self.read_one(),
            56..68 => self.end_one(),
            68..82 => self.follow(),
            // Elsewhere, and seldom: what is kept wrongly is kept long enough to be noticed.
            83..92 if self.copy.is_some() => self.ask(key),
            82..86 => self.commit(key),
            86..92 => {
                self.cache.forget(&[key as u8]);
                self.forgotten[key] = self.committed[key];
            }
            92..95 if !self.gets.is_empty() => {
                let at = self.random.random_range(0..self.gets.len());
                drop(self.gets.swap_remove(at)); // the caller has left
            }
            _ => self.wait().await,
        }
        self.count();
    }

    fn count(&mut self) {
        let flights = locked(&self.cache.0.flights);
        for (key, before) in (0_u8..).zip(&mut self.began) {
            let began = self.cache.0.kept.get(&key).map(|kept| kept.began);
            if began.is_some() && began != *before && flights.by_key.contains_key(&key) {
                self.overtaking += 1;
            }
            *before = began;
        }
    }

    async fn wait(&mut self) {
        let longest = if self.slow { 900 } else { 300 };
        let pause = Duration::from_millis(self.random.random_range(0..longest));
        let again = self.random.random_range(0..4) == 0;
        if let Some(copy) = &mut self.copy
            && (again || copy.at.elapsed() + pause > LAG)
        {
            let (committed, level) = (self.committed, self.changes.len());
            *copy = Copied { committed, level, at: Instant::now() };
        }
        advance(pause).await;
    }

    /// What is committed as far as whoever is asked knows it, and how far that is.
    fn known(&mut self) -> ([u64; KEYS], usize) {
        match &self.copy {
            Some(copy) if self.random.random_range(0..2) == 0 => (copy.committed, copy.level),
            _ => (self.committed, self.changes.len()),
        }
    }

    /// Asks, is answered, or takes in the answer.
    fn follow(&mut self) {
        self.following = match std::mem::replace(&mut self.following, Following::Idle) {
            Following::Idle => Following::Asked(Instant::now(), self.cache.level().0 as usize),
            Following::Asked(at, since) => {
                let (_, level) = self.known();
                let changed = self.changes.get(since..level).unwrap_or_default();
                Following::Answered(at, level, changed.to_vec())
            }
            Following::Answered(at, level, changed) => {
                let level = Level(level as u64);
                match self.random.random_range(0..20) {
                    0 => self.cache.restart(at, level),
                    _ => drop(self.cache.confirm(at, level, |key, _| changed.contains(key))),
                }
                Following::Idle
            }
        };
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
                self.see(key, floor, shown);
                let bound = LIFE + self.copy.as_ref().map_or(Duration::ZERO, |_| LAG);
                if let Some(replaced) = self.replaced[key].get(shown as usize) {
                    assert!(replaced.elapsed() < bound, "replaced {:?} ago", replaced.elapsed());
                }
            }
        }
    }

    fn see(&mut self, key: usize, floor: u64, shown: u64) {
        if self.copy.is_none() {
            assert!(shown >= floor, "{shown} is shown, and {floor} was forgotten");
            assert!(shown >= self.shown[key], "{shown} after {}", self.shown[key]);
            self.shown[key] = shown;
        }
    }

    fn go_on(&mut self) {
        let mut waiting = Vec::new();
        for (key, floor, mut get) in std::mem::take(&mut self.gets) {
            match poll(&mut get) {
                Some(Ok(shown)) => {
                    assert!(shown >= floor || self.copy.is_some(), "{shown} of {floor}")
                }
                Some(Err(_)) => {}
                None => waiting.push((key, floor, get)),
            }
        }
        self.gets = waiting;
    }

    fn read_one(&mut self) {
        let asked = locked(&self.pending).pop_front();
        if let Some((key, end)) = asked {
            let (committed, level) = self.known();
            let (value, level) = (committed[usize::from(key)], Level(level as u64));
            self.read.push((Loaded { value, level }, end));
        }
    }

    fn end_one(&mut self) {
        if self.slow && self.random.random_range(0..6) > 0 {
            return;
        }
        if !self.read.is_empty() {
            let at = self.random.random_range(0..self.read.len());
            let (loaded, end) = self.read.swap_remove(at);
            let fails = self.random.random_range(0..20) == 0;
            let _ = end.send(if fails { Err("the database is away") } else { Ok(loaded) });
        }
    }

    fn commit(&mut self, key: usize) {
        self.committed[key] += 1;
        self.changes.push(key as u8);
        self.replaced[key].push(Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_million_interleavings_nothing_old_is_shown() {
    let (mut hits, mut overtaking) = (0, 0);
    for seed in 0..1_000 {
        let mut world = World::new(seed, seed % 2 == 0);
        for _ in 0..1_000 {
            world.step().await;
        }
        hits += world.hits;
        overtaking += world.overtaking;
    }
    assert!(hits > 50_000, "{hits} answers from memory say nothing");
    assert!(overtaking > 400, "{overtaking} loads that ended before a later one say nothing");
}
