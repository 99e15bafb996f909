//! How many calls to the provider may be in flight.

use std::iter;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The right to have one call to the provider in flight.
pub(crate) type Permit = OwnedSemaphorePermit;

/// Two bulkheads, for first calls and for retries: retries of payments that hang never take a permit from a first call.
#[derive(Clone)]
pub(super) struct Permits {
    first_calls: Arc<Semaphore>,
    retries: Arc<Semaphore>,
    first_calls_max: usize,
    retries_max: usize,
}

impl Permits {
    pub(super) fn new(calls: NonZeroUsize) -> Self {
        let (first_calls_max, retries_max) = (calls.get(), calls.get().div_ceil(2));
        let first_calls = Semaphore::new(first_calls_max).into();
        let retries = Semaphore::new(retries_max).into();
        Self { first_calls, retries, first_calls_max, retries_max }
    }

    /// The free permits for first calls, at most `most`.
    pub(super) fn acquire_first_calls(&self, most: usize) -> Vec<Permit> {
        let free = || Arc::clone(&self.first_calls).try_acquire_owned().ok();
        iter::from_fn(free).take(most).collect()
    }

    /// How many permits for retries are free.
    pub(super) fn free_retries(&self) -> usize {
        self.retries.available_permits()
    }

    /// A permit for a retry, if one is free.
    pub(super) fn acquire_retry(&self) -> Option<Permit> {
        Arc::clone(&self.retries).try_acquire_owned().ok()
    }

    /// Whether at least half of the permits for retries are free: then a query for due work pays.
    pub(super) fn has_room(&self) -> bool {
        self.free_retries() * 2 >= self.retries_max
    }

    /// Whether a call is in flight.
    pub(super) fn are_taken(&self) -> bool {
        let free = self.first_calls.available_permits() + self.free_retries();
        free < self.first_calls_max + self.retries_max
    }
}
