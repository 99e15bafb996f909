//! The call that is being served, for work that outlives its handler.
//!
//! A handler's future is dropped when the deadline passes or the caller goes away. Work that must not
//! be dropped half-way runs on elsewhere and takes the [`Current`] call along. The deadline then still
//! bounds what it asks of others, and the place in the in-flight limit stays taken until the work is
//! really over; otherwise shedding would count calls that have been answered and not the work that is left.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Current;
}

/// The call that this task serves: its name, its deadline and its place among the calls in flight. Outside
/// of calls, the name of what runs in the background.
#[derive(Clone, Default)]
pub struct Current {
    name: Option<&'static str>,
    deadline: Option<Instant>,
    /// Freed when the last clone is gone.
    place: Option<Arc<dyn Any + Send + Sync>>,
}

impl Current {
    /// What runs here; an empty one when nobody has said.
    pub fn capture() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// A call, which holds `place` until everything that runs for it is over.
    pub fn call(
        name: &'static str,
        deadline: Option<Instant>,
        place: Arc<impl Send + Sync + 'static>,
    ) -> Self {
        Self { name: Some(name), deadline, place: Some(place) }
    }

    /// Something that nobody waits for.
    pub fn background(name: &'static str) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// The use case: `souk.cart.v1.CartService/PutItem`, or what runs in the background.
    pub fn name(&self) -> &'static str {
        self.name.unwrap_or("unknown")
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The same with another deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs `work` as part of this call.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Current");
        shown.field("name", &self.name).field("deadline", &self.deadline);
        shown.field("place", &self.place.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_along_holds_its_place() {
        let place = Arc::new(());
        let deadline = Instant::now();
        let call = Current::call("put", Some(deadline), Arc::clone(&place));
        let taken = call.scope(async { Current::capture() }).await;
        assert_eq!((taken.name(), taken.deadline()), ("put", Some(deadline)));
        assert_eq!(Arc::strong_count(&place), 2);
        drop(taken);
        assert_eq!(Arc::strong_count(&place), 1);
        assert_eq!(Current::capture().name(), "unknown");
    }
}
