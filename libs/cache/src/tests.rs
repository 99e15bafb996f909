mod interleavings;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;
use tokio::time::advance;

use super::*;

const LIFE: Duration = Duration::from_secs(1);
const CONFIRMED_LIFE: Duration = Duration::from_secs(5);
const LIMITS: Limits = Limits { bytes: 1 << 20, life: LIFE, confirmed_life: CONFIRMED_LIFE };

impl Value for u64 {
    fn bytes(&self) -> usize {
        0
    }
}

/// Loads that end when the test says so, oldest first.
type Pending = Arc<Mutex<VecDeque<(u8, End)>>>;
type End = oneshot::Sender<Result<Loaded<u64>, &'static str>>;

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
    let _ = end.send(with.map(newest));
}

fn newest(value: u64) -> Loaded<u64> {
    Loaded { value, level: Level::NEWEST }
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
async fn a_value_lives_on_while_it_is_confirmed() {
    let (cache, pending) = by_hand();
    let load = async |value| {
        let mut first = Box::pin(cache.get(1));
        assert_eq!(poll(&mut first), None);
        end(&pending, Ok(value));
        assert_eq!(poll(&mut first), Some(Ok(value)));
    };
    load(7).await;
    for level in 1..=6 {
        advance(Duration::from_millis(800)).await;
        assert_eq!(cache.get(1).await, Ok(7), "{level}");
        cache.confirm(Instant::now(), Level(level), |_, _| false);
    }
    advance(Duration::from_millis(200)).await;
    load(8).await; // nothing lives for longer than five seconds

    advance(Duration::from_millis(800)).await;
    cache.confirm(Instant::now() - Duration::from_millis(100), Level(6), |_, _| false);
    advance(Duration::from_millis(800)).await;
    assert_eq!(cache.get(1).await, Ok(8));
    assert!(!cache.confirm(Instant::now(), Level(5), |_, _| true), "whoever says so knows less");
    assert_eq!(cache.get(1).await, Ok(8));
    advance(Duration::from_millis(100)).await;
    load(9).await;

    cache.restart(Instant::now(), Level(2));
    load(10).await;
    cache.confirm(Instant::now(), Level(3), |_, _| false);
    cache.forget_if(|_, value| value == Some(&9));
    assert_eq!(cache.get(1).await, Ok(10));
    cache.confirm(Instant::now(), Level(4), |key, value| *key == 1 && value == Some(&10));
    load(11).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_away_the_last_is_shown_unless_it_was_forgotten() {
    let (cache, pending) = by_hand();
    let load = async |with: Result<u64, &'static str>| {
        let mut read = Box::pin(cache.get_or_stale(1, LIFE, |error| *error == "away"));
        assert_eq!(poll(&mut read), None);
        end(&pending, with);
        poll(&mut read).unwrap()
    };
    assert_eq!(load(Err("away")).await, Err("away"), "there is none");
    assert_eq!(load(Ok(7)).await, Ok(7));
    advance(LIFE).await;
    assert_eq!(load(Err("away")).await, Ok(7));
    assert_eq!(load(Err("refused")).await, Err("refused"));
    let mut slow = Box::pin(cache.get_or_stale(1, LIFE, |_| false));
    assert_eq!(poll(&mut slow), None);
    advance(LIFE).await;
    assert_eq!(poll(&mut slow), Some(Ok(7)), "there is no answer");
    locked(&pending).clear();
    cache.forget(&[1]);
    assert_eq!(load(Err("away")).await, Err("away"), "it has changed");
    assert_eq!(load(Ok(8)).await, Ok(8));
    advance(CONFIRMED_LIFE).await;
    assert_eq!(load(Err("away")).await, Err("away"), "it is too old");
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
    cache.forget_if(|_, _| true);
    assert_eq!(poll(&mut Box::pin(cache.get(1))), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_ends_for_the_next_unless_its_key_was_forgotten() {
    let (cache, pending) = by_hand();
    let late = async |level| {
        let (mut first, mut second) = (Box::pin(cache.get(1)), Box::pin(cache.get(1)));
        assert_eq!(poll(&mut first), None);
        advance(LIFE).await;
        assert_eq!(poll(&mut second), None);
        assert_eq!(locked(&pending).len(), 2, "nobody joins one that is older than a value lives");
        cache.confirm(Instant::now(), level, |_, _| false);
        (first, second)
    };
    let (mut first, mut second) = late(Level(1)).await;
    end(&pending, Ok(7));
    assert_eq!((poll(&mut first), poll(&mut second)), (Some(Ok(7)), None));
    assert_eq!(cache.get(1).await, Ok(7), "nothing was named for it since it began");
    end(&pending, Ok(8));
    assert_eq!(poll(&mut second), Some(Ok(8)));
    assert_eq!(cache.get(1).await, Ok(8));

    cache.forget(&[1]);
    let (mut first, mut second) = late(Level(2)).await;
    let (_, older) = locked(&pending).pop_front().unwrap();
    end(&pending, Ok(10));
    assert_eq!(poll(&mut second), Some(Ok(10)));
    let _ = older.send(Ok(newest(9)));
    assert_eq!(poll(&mut first), Some(Ok(9)));
    assert_eq!(cache.get(1).await, Ok(10), "what began later stays");

    cache.forget(&[1]);
    let (mut first, second) = late(Level(3)).await;
    advance(LIFE).await;
    let mut third = Box::pin(cache.get(1));
    assert_eq!(poll(&mut third), None);
    drop(second); // its caller has left
    cache.confirm(Instant::now(), Level(4), |_, _| false);
    let (_, oldest) = locked(&pending).pop_front().unwrap();
    locked(&pending).pop_front();
    drop(third);
    locked(&pending).clear();
    let _ = oldest.send(Ok(newest(11)));
    assert_eq!(poll(&mut first), Some(Ok(11)));
    assert_eq!(cache.get(1).await, Ok(11), "the others have left, and it goes on");

    cache.forget(&[1]);
    let (mut first, _second) = late(Level(5)).await;
    cache.forget(&[1]);
    end(&pending, Ok(12));
    assert_eq!(poll(&mut first), Some(Ok(12)));
    assert_eq!(poll(&mut Box::pin(cache.get(1))), None, "it has changed since");
}

#[tokio::test(start_paused = true)]
async fn of_three_slow_loads_the_first_is_not_stored_over_the_second() {
    let (cache, pending) = by_hand();
    let mut reads: Vec<_> = (0..3).map(|_| Box::pin(cache.get(1))).collect();
    for read in &mut reads {
        assert_eq!(poll(read), None);
        advance(LIFE).await;
    }
    cache.confirm(Instant::now(), Level(1), |_, _| false);
    let mut ends: Vec<_> = locked(&pending).drain(..).map(|(_, end)| end).collect();
    let (second, first) = (ends.remove(1), ends.remove(0));
    let _ = second.send(Ok(newest(20)));
    assert_eq!(poll(&mut reads[1]), Some(Ok(20)));
    let _ = first.send(Ok(newest(10)));
    assert_eq!(poll(&mut reads[0]), Some(Ok(10)));
    assert_eq!(cache.get(1).await, Ok(20));
    let _ = ends.remove(0).send(Ok(newest(30)));
    assert_eq!(poll(&mut reads[2]), Some(Ok(30)));
    assert_eq!(cache.get(1).await, Ok(30));
    assert!(locked(&cache.0.flights).by_key.is_empty());
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
    let limits = Limits { bytes: 64 << 10, life: Duration::from_secs(3_600), ..LIMITS };
    let cache: Cache<u32, u64, ()> = Cache::new("test", limits, move |key| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(newest(u64::from(key))) }.boxed()
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
