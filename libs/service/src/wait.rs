//! Any start order: a process waits for its dependencies, for as long as it takes.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout};

use crate::Shutdown;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Timeout of one attempt: a dependency that drops packets must not delay the next attempt for minutes.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The process was asked to stop while it still waited. As the error of `run` this is a good end.
#[derive(Debug, thiserror::Error)]
#[error("stopped while waiting for {0}")]
pub struct Interrupted(String);

/// Calls `attempt` until it succeeds, for ever, with 100 ms to 2 s in between and at most 5 s for each. Writes one log
/// line per change of state. For connecting only: an attempt that takes too long is dropped.
///
/// # Errors
/// [`Interrupted`], when shutdown is requested (or the process begins to drain) first.
pub async fn wait_for<T, E, F>(
    name: &str,
    shutdown: &Shutdown,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Interrupted>
where
    E: Into<anyhow::Error>,
    F: Future<Output = Result<T, E>>,
{
    let mut wait = Wait { name, since: Instant::now(), backoff: BACKOFF_MIN, last_error: None };
    let succeed = async {
        loop {
            match timeout(ATTEMPT_MAX, attempt()).await.context("no answer") {
                Ok(Ok(there)) => return wait.there(there),
                Ok(Err(error)) => wait.absent(&error.into()).await,
                Err(error) => wait.absent(&error).await,
            }
        }
    };
    tokio::select! {
        there = succeed => Ok(there),
        () = shutdown.draining() => Err(Interrupted(name.to_owned())),
    }
}

struct Wait<'a> {
    name: &'a str,
    since: Instant,
    backoff: Duration,
    last_error: Option<String>,
}

impl Wait<'_> {
    fn there<T>(&self, there: T) -> T {
        if self.last_error.is_some() {
            let waited_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(dependency = self.name, waited_ms, "the dependency is there");
        }
        there
    }

    async fn absent(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.last_error.as_ref() != Some(&error) {
            tracing::warn!(dependency = self.name, error, "waiting for a dependency");
            self.last_error = Some(error);
        }
        sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}
