//! How many retries a channel may make: every call earns a tenth of one, and at most ten are
//! saved up, so that a dependency that fails for everybody sees at most 1.1 times its load.

use std::sync::atomic::{AtomicU32, Ordering};

const CALLS_PER_RETRY: u32 = 10;
const SAVED_RETRIES_MAX: u32 = 10;

/// The saved-up retries of a channel, in calls.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(SAVED_RETRIES_MAX * CALLS_PER_RETRY))
    }
}

impl Budget {
    /// Counts a call.
    pub(super) fn earn(&self) {
        let most = SAVED_RETRIES_MAX * CALLS_PER_RETRY;
        // A channel that works stays at the top, and reading costs less than writing.
        if self.0.load(Ordering::Relaxed) < most {
            self.update(|calls| (calls < most).then_some(calls + 1));
        }
    }

    /// Takes one retry out, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.update(|calls| calls.checked_sub(CALLS_PER_RETRY))
    }

    fn update(&self, change: impl FnMut(u32) -> Option<u32>) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_dependency_sees_a_tenth_more() {
        let budget = Budget::default();
        let retries = (0..1_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(retries.count(), 109);
    }
}
