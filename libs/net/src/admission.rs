//! Admission control (load shedding): a limit of requests in progress (a concurrency limit; not a rate limit or token bucket). Nothing queues:
//! a request that finds no permit is shed at once, while the answer is still cheap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which requests are shed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// May have every permit.
    High,
    /// May have the first three quarters of the permits; the rest is for requests of high priority.
    Low,
}

/// A limit of requests in progress.
#[derive(Debug)]
pub struct Admission {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// The right to be in progress, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Admission {
    /// A limit with this number of permits.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A permit, if there is one left for requests of this priority.
    pub fn admit(&self, priority: Priority) -> Option<Permit> {
        let most = match priority {
            Priority::High => self.most,
            Priority::Low => (self.most - self.most / 4).max(1),
        };
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made before the check, so that a request that is shed gives the count back by dropping it.
        let permit = Permit(Arc::clone(&self.taken));
        (before < most).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{High, Low};
    use super::*;

    #[test]
    fn a_permit_is_taken_until_its_last_holder_ends() {
        let admission = Admission::new(1);
        let permit = Arc::new(admission.admit(High).unwrap());
        let handler = Arc::clone(&permit);
        assert!(admission.admit(High).is_none());
        drop(handler);
        assert!(admission.admit(High).is_none());
        drop(permit);
        assert!(admission.admit(High).is_some());
    }

    #[test]
    fn low_priority_is_shed_first() {
        let admission = Admission::new(4);
        let browsing: Vec<_> = std::iter::from_fn(|| admission.admit(Low)).collect();
        assert_eq!(browsing.len(), 3);
        let checkout = admission.admit(High).unwrap();
        assert!(admission.admit(High).is_none());
        drop(browsing);
        assert!(admission.admit(Low).is_some());
        drop(checkout);
        assert_eq!(admission.taken.load(Ordering::Relaxed), 0);
    }
}
