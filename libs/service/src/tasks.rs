//! Background tasks (daemon tasks): relays, consumers, refreshers. Unsupervised, such a task can die while the process
//! lives on and looks healthy. Here a task that fails ends the process (crash-only), and at the end `run` waits for all
//! of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use context::Current;
use futures_util::FutureExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::Shutdown;

/// The background tasks of a process. Clones are one; when the last is dropped, tasks that still run are cut off (so
/// a `run` that fails on the way leaves nothing behind).
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: Shutdown,
    done: CancellationToken,
    _cut_off: Arc<DropGuard>,
}

impl Tasks {
    /// None yet. Each is to end on its own when `shutdown` is requested.
    #[must_use]
    pub fn new(shutdown: &Shutdown) -> Self {
        let done = CancellationToken::new();
        let cut_off = Arc::new(done.clone().drop_guard());
        Self { tracker: TaskTracker::new(), shutdown: shutdown.clone(), done, _cut_off: cut_off }
    }

    /// The shutdown these tasks obey.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task that may end. An error or a panic brings the process down.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let watched = watch(name, task, self.shutdown.clone());
        let done = self.done.clone();
        self.tracker.spawn(async move { done.run_until_cancelled(watched).await });
    }

    /// Starts a task that must last: besides an error or a panic, returning before shutdown was requested brings the
    /// process down too.
    pub fn keep(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let shutdown = self.shutdown.clone();
        let task = Current::background(name).scope(task);
        self.spawn(name, async move {
            task.await?;
            anyhow::ensure!(shutdown.is_requested(), "ended although nobody asked it to");
            Ok(())
        });
    }

    /// Starts a task that [`finish`](Self::finish) does not wait for but ends: what must be there until the last
    /// moment, such as the admin port. An error or a panic brings the process down.
    pub fn beside(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let watched = watch(name, task, self.shutdown.clone());
        let done = self.done.clone();
        tokio::spawn(async move { done.run_until_cancelled(watched).await });
    }

    /// Waits for every spawned task to end, which they do once shutdown is requested.
    ///
    /// # Errors
    /// What brought the process down, if something did.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.tracker.close();
        self.tracker.wait().await;
        self.done.cancel();
        self.shutdown.take_failure().map_or(Ok(()), Err)
    }
}

/// Turns the end of a task into the end of the process, unless it was a good one.
async fn watch(
    name: &'static str,
    task: impl Future<Output = anyhow::Result<()>>,
    shutdown: Shutdown,
) {
    if let Err(error) = caught(task).await.with_context(|| format!("background task {name}")) {
        tracing::error!(
            task = name,
            error = format!("{error:#}"),
            "a background task failed: the process stops"
        );
        shutdown.fail(error);
    }
}

/// A future whose panic is an error.
pub(crate) async fn caught(task: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    AssertUnwindSafe(task).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(anyhow!("panicked: {}", text.as_deref().unwrap_or("(no message)")))
    })
}
