//! A bound on what is in progress. Nobody waits for a place: who finds none is turned away, while
//! the answer is still cheap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Places.
#[derive(Debug)]
pub struct Limit {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Limit {
    /// So many.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A place among all.
    pub fn enter(&self) -> Option<Slot> {
        self.enter_below(self.most)
    }

    /// A place among the first three quarters: the rest is for what matters more.
    pub fn enter_modestly(&self) -> Option<Slot> {
        self.enter_below((self.most - self.most / 4).max(1))
    }

    fn enter_below(&self, most: usize) -> Option<Slot> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made before the check, so that who is turned away gives the count back by dropping it.
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
    fn a_place_is_taken_until_its_last_holder_ends() {
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
    fn the_modest_are_turned_away_first() {
        let limit = Limit::new(4);
        let browsing: Vec<_> = std::iter::from_fn(|| limit.enter_modestly()).collect();
        assert_eq!(browsing.len(), 3);
        let checkout = limit.enter().unwrap();
        assert!(limit.enter().is_none());
        drop(browsing);
        assert!(limit.enter_modestly().is_some());
        drop(checkout);
        assert_eq!(limit.taken.load(Ordering::Relaxed), 0);
    }
}
