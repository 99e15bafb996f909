//! Keeps time, on a thread of its own: a timer of the runtime that also sends would be late by as much
//! as a millisecond, which is longer than many answers take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::schedule::{Arrival, Phase, arrivals};

/// A thread that sleeps longer would not notice that nobody wants it any more.
const NAP_MAX: Duration = Duration::from_millis(200);

/// The run's clock.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When the first phase begins.
    pub(crate) begin: Instant,
    /// Each arrival, when it is due.
    pub(crate) due: UnboundedReceiver<Arrival>,
    stop: Arc<AtomicBool>,
}

impl Pace {
    /// Begins shortly after now.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(phases: &[Phase]) -> Result<Self> {
        let begin = Instant::now() + Duration::from_millis(20);
        let (send, due) = unbounded_channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (arrivals, stopped) = (arrivals(phases), Arc::clone(&stop));
        thread::Builder::new().name("pace".into()).spawn(move || {
            for arrival in arrivals {
                let reached = wait(begin + arrival.due, &stopped);
                if !reached || send.send(arrival).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { begin, due, stop })
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Waits until then; false when asked to stop.
fn wait(then: Instant, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        match then.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => thread::sleep(left.min(NAP_MAX)),
            _ => return true,
        }
    }
}
