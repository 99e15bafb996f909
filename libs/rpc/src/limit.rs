//! How many calls there may be at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        let handler = Arc::clone(&slot);
        assert!(limit.enter().is_none());
        drop(handler);
        assert!(limit.enter().is_none());
        drop(slot);
        assert!(limit.enter().is_some());
    }
}
