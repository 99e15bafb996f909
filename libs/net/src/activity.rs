//! Against slow clients (slowloris): what a connection is doing, so that a client that keeps us waiting can be told
//! from one that is only between two requests.
//!
//! hyper has one timer for both, and none for a connection that has not said yet which version of
//! HTTP it speaks. Here the head of a request has a short limit from its first byte on, the pause
//! between two requests a long one, and a request in progress none: it has a deadline of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use http::Version;
use tokio::time::{Instant, sleep_until};

/// Nothing has been asked yet.
const NEW: u8 = 0;
/// Between two requests.
const IDLE: u8 = 1;
/// The head of a request has begun to arrive.
const HEAD: u8 = 2;
/// A request is being answered.
const BUSY: u8 = 3;
/// HTTP/2, where requests overlap and pings come at any time; its own keepalive looks after it.
const MULTIPLEXED: u8 = 4;

/// How long a server waits for a client over HTTP/1.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the head of a request, from its first byte on; for the first one, from the connection's beginning.
    pub head: Duration,
    /// Between two requests, and for a client that does not take what it is sent.
    pub idle: Duration,
}

/// One connection's. It is read and written by the connection's own task, so nothing here needs
/// an order among atomics.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    phase: AtomicU8,
    /// Since when, in milliseconds after `began`.
    since: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), phase: AtomicU8::new(NEW), since: AtomicU64::new(0) }
    }

    /// Bytes came.
    pub(crate) fn read(&self) {
        if self.phase() == IDLE {
            self.enter(HEAD);
        }
    }

    /// Bytes went: an answer that is still being sent is no pause.
    pub(crate) fn wrote(&self) {
        if self.phase() == IDLE {
            self.enter(IDLE);
        }
    }

    /// A request is there; until the guard is dropped it is being answered.
    pub(crate) fn asked(self: &Arc<Self>, version: Version) -> Asked {
        if version == Version::HTTP_2 {
            self.phase.store(MULTIPLEXED, Ordering::Relaxed);
            return Asked(None);
        }
        self.enter(BUSY);
        Asked(Some(Arc::clone(self)))
    }

    pub(crate) fn has_asked(&self) -> bool {
        self.phase() != NEW
    }

    /// When this phase times out; `None` when it already has.
    pub(crate) fn due(&self, now: Instant, timeouts: Timeouts) -> Option<Instant> {
        let limit = match self.phase() {
            NEW | HEAD => timeouts.head,
            IDLE => timeouts.idle,
            _ => return Some(now + timeouts.head), // look again later
        };
        let until = self.began + Duration::from_millis(self.since.load(Ordering::Relaxed)) + limit;
        // Between two checks a pause may have begun and become a head: check often enough for both.
        (until > now).then(|| until.min(now + timeouts.head))
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    fn enter(&self, phase: u8) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }
}

/// A request in progress.
pub(crate) struct Asked(Option<Arc<Activity>>);

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(activity) = &self.0 {
            activity.enter(IDLE);
        }
    }
}

/// Returns when the client has kept us waiting too long.
pub(crate) async fn overdue(activity: &Activity, timeouts: Option<Timeouts>) {
    let Some(timeouts) = timeouts else { return std::future::pending().await };
    while let Some(until) = activity.due(Instant::now(), timeouts) {
        sleep_until(until).await;
    }
    tracing::debug!("a client kept us waiting too long");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts =
        Timeouts { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new())
    }

    /// Whether the time limit is this many seconds from now, give or take a few milliseconds.
    fn patient_after(activity: &Activity, seconds: f64) -> bool {
        let then = Instant::now() + Duration::from_secs_f64(seconds);
        activity.due(then, TIMEOUTS).is_some()
    }

    #[test]
    fn a_new_connection_has_to_ask_soon_and_bytes_do_not_prolong_it() {
        let mut activity = Activity::new();
        assert!(patient_after(&activity, 9.5) && !patient_after(&activity, 10.5));
        activity.began -= Duration::from_secs(5);
        activity.read();
        assert!(patient_after(&activity, 4.5) && !patient_after(&activity, 5.5));
    }

    #[test]
    fn a_pause_may_be_long_and_a_head_may_not() {
        let activity = activity();
        drop(activity.asked(Version::HTTP_11));
        assert!(patient_after(&activity, 74.5) && !patient_after(&activity, 75.5));
        activity.read();
        assert!(patient_after(&activity, 9.5) && !patient_after(&activity, 10.5));
    }

    #[test]
    fn an_answer_that_is_being_sent_is_no_pause() {
        let mut activity = activity();
        drop(activity.asked(Version::HTTP_11));
        Arc::get_mut(&mut activity).unwrap().began -= Duration::from_secs(70);
        assert!(!patient_after(&activity, 5.5));
        activity.wrote();
        assert!(patient_after(&activity, 74.5) && !patient_after(&activity, 75.5));
        // What is written while a head comes in says nothing about the head.
        activity.read();
        activity.wrote();
        assert!(!patient_after(&activity, 10.5));
    }

    #[test]
    fn a_request_in_progress_is_not_the_clients_fault() {
        let activity = activity();
        let asked = activity.asked(Version::HTTP_11);
        assert!(patient_after(&activity, 1000.0));
        drop(asked);
        assert!(!patient_after(&activity, 75.5));
        assert!(activity.has_asked());
    }
}
