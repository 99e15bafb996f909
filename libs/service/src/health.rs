//! Readiness: whether the process should get traffic, and if not, which component is the reason.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;

use crate::Shutdown;

/// A check that takes longer counts as failed.
const CHECK_MAX: Duration = Duration::from_secs(1);
/// The component that is the process itself.
const STARTED: &str = "started";

type Check = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// The readiness of a process: ready when it has started, every component said so, every check passes, and nobody
/// asked it to stop. Clones are one.
#[derive(Clone)]
pub struct Health {
    shutdown: Shutdown,
    /// Why a component is not ready; `None` when it is.
    components: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

impl Health {
    /// Not ready until [`ready`](Self::ready) is called; never again once `shutdown` drains.
    #[must_use]
    pub fn new(shutdown: &Shutdown) -> Self {
        let health =
            Self { shutdown: shutdown.clone(), components: Arc::default(), checks: Arc::default() };
        health.ready(false);
        health
    }

    /// Whether the process has everything that it needs to serve.
    pub fn ready(&self, ready: bool) {
        self.set(STARTED, (!ready).then(|| "starting".to_owned()));
    }

    /// A part that reports by itself; not ready until it says so.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        self.set(name, Some("starting".to_owned()));
        Component { name, health: self.clone() }
    }

    /// A question asked on each probe; an answer that takes over a second counts as no.
    pub fn check<F>(&self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).insert(name, check);
    }

    /// What keeps the process from being ready, with the reasons; empty when it is ready.
    pub async fn failing(&self) -> BTreeMap<&'static str, String> {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = join_all(checks.into_iter().map(|(name, check)| ask(name, check))).await;
        let mut failing: BTreeMap<_, _> = asked.into_iter().flatten().collect();
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failing.extend(components.into_iter().filter_map(|(name, reason)| Some((name, reason?))));
        if self.shutdown.is_draining() {
            failing.insert("stopping", "asked to stop".to_owned());
        }
        failing
    }

    fn set(&self, name: &'static str, reason: Option<String>) {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).insert(name, reason);
    }
}

async fn ask(name: &'static str, check: Check) -> Option<(&'static str, String)> {
    match timeout(CHECK_MAX, check()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((name, format!("{error:#}"))),
        Err(_) => Some((name, "no answer".to_owned())),
    }
}

/// A part of the process that says whether it is ready.
#[derive(Clone)]
pub struct Component {
    name: &'static str,
    health: Health,
}

impl Component {
    /// It works.
    pub fn ready(&self) {
        self.health.set(self.name, None);
    }

    /// It does not work, so the process should get no traffic.
    pub fn failing(&self, reason: impl Display) {
        self.health.set(self.name, Some(reason.to_string()));
    }
}
