//! Admission: a limit of calls in progress (a concurrency limit; not a rate limit or token bucket). Nothing queues: a call
//! that finds no permit is shed at once, while the answer is still cheap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Permits.
#[derive(Debug)]
pub struct Limit {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// A permit, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Limit {
    /// So many permits.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// One of all permits.
    pub fn enter(&self) -> Option<Slot> {
        self.enter_below(self.most)
    }

    /// One of the first three quarters of the permits: the rest is for calls of high priority.
    pub fn enter_low_priority(&self) -> Option<Slot> {
        self.enter_below((self.most - self.most / 4).max(1))
    }

    fn enter_below(&self, most: usize) -> Option<Slot> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made before the check, so that a call that is shed gives the count back by dropping it.
        let slot = Slot(Arc::clone(&self.taken));
        (before < most).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_taken_until_its_last_holder_ends() {
        let limit = Limit::new(1);
        let slot = Arc::new(limit.enter().unwrap());
        let handler = Arc::clone(&slot);
        assert!(limit.enter().is_none());
        drop(handler);
        assert!(limit.enter().is_none());
        drop(slot);
        assert!(limit.enter().is_some());
    }

    #[test]
    fn low_priority_is_shed_first() {
        let limit = Limit::new(4);
        let browsing: Vec<_> = std::iter::from_fn(|| limit.enter_low_priority()).collect();
        assert_eq!(browsing.len(), 3);
        let checkout = limit.enter().unwrap();
        assert!(limit.enter().is_none());
        drop(browsing);
        assert!(limit.enter_low_priority().is_some());
        drop(checkout);
        assert_eq!(limit.taken.load(Ordering::Relaxed), 0);
    }
}
