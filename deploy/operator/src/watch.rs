//! The stores, shared between those who watch them and those who stop them, and kept up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use stores::{Endpoints, Server, Stores};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::journal::Journal;

const LOOK: Duration = Duration::from_millis(500);
/// Pause before a store that failed to start is started again.
const AGAIN: Duration = Duration::from_secs(5);

/// The stores of one shop. Clones are one.
#[derive(Clone, Debug)]
pub struct SharedStores {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// None once they are stopped.
    stores: Option<Stores>,
    /// Those that somebody has stopped on purpose.
    resting: BTreeSet<Server>,
}

impl SharedStores {
    /// Takes over running stores.
    pub fn new(stores: Stores) -> Self {
        let inner = Inner { stores: Some(stores), resting: BTreeSet::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> T + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        Ok(spawn_blocking(move || work(&mut this.lock())).await?)
    }

    /// Ends one on purpose.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop_one(&self, server: Server) -> Result<()> {
        self.blocking(move |inner| {
            inner.resting.insert(server);
            Ok(inner.stores.as_mut().context("the stores are stopped")?.stop_server(server)?)
        })
        .await?
    }

    /// Starts one that was ended on purpose.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_one(&self, server: Server) -> Result<()> {
        self.blocking(move |inner| {
            inner.resting.remove(&server);
            Ok(inner.stores.as_mut().context("the stores are stopped")?.start_server(server)?)
        })
        .await?
    }

    /// Starts those that were ended on purpose.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn start_resting(&self) -> Result<()> {
        let resting = self.lock().resting.clone();
        for server in resting {
            self.start_one(server).await?;
        }
        Ok(())
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn stop(&self) -> Result<()> {
        let stop = |inner: &mut Inner| inner.stores.take().map_or(Ok(()), Stores::stop);
        Ok(self.blocking(stop).await??)
    }

    /// Ends all of them if they still run, here and now; tells whether they did.
    pub fn stop_now(&self) -> bool {
        let stores = self.lock().stores.take();
        let ran = stores.is_some();
        let _ = stores.map(Stores::stop); // only called when there is nobody left to tell
        ran
    }

    /// Starts those that died; tells which, with what came of it.
    async fn heal(&self) -> Result<Vec<(Server, stores::Result<()>)>> {
        self.blocking(|inner| {
            let Inner { stores: Some(stores), resting } = inner else { return Vec::new() };
            let mut dead = stores.dead();
            dead.retain(|server| !resting.contains(server));
            dead.into_iter().map(|server| (server, stores.start_server(server))).collect()
        })
        .await
    }

    /// Where they are now; none once they are stopped.
    ///
    /// # Errors
    /// When the runtime is about to end.
    pub async fn endpoints(&self) -> Result<Option<Endpoints>> {
        self.blocking(|inner| inner.stores.as_ref().and_then(|stores| stores.endpoints().ok()))
            .await
    }
}

/// Looks after the stores for as long as it is polled; `noted` gets the new places after a change.
pub async fn stores(stores: SharedStores, journal: Journal, noted: impl Fn(&Endpoints)) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Ok(healed) = stores.heal().await else { return };
        for (server, outcome) in &healed {
            match outcome {
                Ok(()) => journal.note(&format!("{server} had ended and was started again")),
                Err(error) => journal.note(&format!("{server} has ended: {error}")),
            }
        }
        if healed.iter().any(|(_, outcome)| outcome.is_err()) {
            tokio::time::sleep(AGAIN).await;
        }
        if !healed.is_empty()
            && let Ok(Some(endpoints)) = stores.endpoints().await
        {
            noted(&endpoints);
        }
    }
}
