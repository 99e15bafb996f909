//! The call that is being served, for work that outlives its handler.
//!
//! A handler's future is dropped when the deadline passes or the caller goes away. Work that
//! must not be dropped half-way is spawned, and a spawned task starts with nothing: it takes
//! the [`Current`] call along. The deadline then still bounds what it asks of others, and the
//! place in the in-flight limit stays taken until the work is really over; otherwise shedding
//! would count calls that have been answered and not the work that is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Current;
}

/// The call that this task serves: its deadline and its place among the calls in flight.
#[derive(Clone, Debug, Default)]
pub struct Current {
    deadline: Option<Instant>,
    _slot: Option<Arc<Slot>>,
}

impl Current {
    /// The call that is being served here; an empty one outside of calls.
    pub fn capture() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Runs `work` as part of this call.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }

    pub(crate) fn new(deadline: Option<Instant>, slot: Option<Arc<Slot>>) -> Self {
        Self { deadline, _slot: slot }
    }

    pub(crate) fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

pub(crate) fn deadline() -> Option<Instant> {
    CURRENT.try_with(|call| call.deadline).ok().flatten()
}

/// A bound on the calls in flight. Nobody waits for a place: who finds none is turned away.
#[derive(Debug)]
pub(crate) struct Limit {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl Limit {
    pub(crate) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    pub(crate) fn enter(&self) -> Option<Arc<Slot>> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made before the check, so that a refused call gives its count back by dropping it.
        let slot = Slot(Arc::clone(&self.taken));
        (before < self.most).then(|| Arc::new(slot))
    }
}

/// A place under a [`Limit`], until the last clone is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_taken_until_its_last_holder_ends() {
        let limit = Limit::new(1);
        let slot = limit.enter().unwrap();
        let spawned = Current::new(None, Some(slot));
        let handler = spawned.clone();
        assert!(limit.enter().is_none());
        drop(handler);
        assert!(limit.enter().is_none());
        drop(spawned);
        assert!(limit.enter().is_some());
    }
}
