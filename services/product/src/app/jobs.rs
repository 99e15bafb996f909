//! Catalogue files that are imported in the background. A file is staged in the database, never in a copy's memory or on its
//! disk; then any copy takes its items out, a chunk at a time, in the transaction that imports them. So nothing is
//! imported twice, a copy that dies leaves the rest to the others, and no lease has to expire.

use std::sync::Arc;
use std::time::Duration;

use database::{ONLY_SHARD, Tx, is_transient};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use kernel::ImportId;
use telemetry::context::{self, continue_from, unrecorded};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info_span};

use super::import::{CHUNK, Items};
use super::{App, Error, Item};
use crate::domain::{Job, Rejection};
use crate::store::imports;

/// How soon an import is taken up that another copy has staged or left behind.
const POLL: Duration = Duration::from_secs(1);
/// How often a chunk is tried when another import is in the way.
const ATTEMPTS: usize = 3;

impl App {
    /// Stages a file, and begins to import it. The import of its source that is running already is the answer if there is one.
    pub(crate) async fn start_import<E: From<Error>>(
        &self,
        file: impl Stream<Item = Result<Item, E>> + Send + Unpin,
    ) -> Result<Job, E> {
        let id = ImportId::mint();
        let started = self.stage_all(id, file).await;
        match &started {
            Ok(job) if job.id == id => self.staged.notify_one(),
            // What is left without an import is deleted later, if not now.
            _ => drop(self.drop_items(id).await),
        }
        started
    }

    async fn stage_all<E: From<Error>>(
        &self,
        id: ImportId,
        mut file: impl Stream<Item = Result<Item, E>> + Send + Unpin,
    ) -> Result<Job, E> {
        let mut items = Items::default();
        while let Some(item) = file.next().await {
            if items.take(item?)? {
                self.stage(id, &mut items).await?;
            }
        }
        self.stage(id, &mut items).await?;
        let staged = items.place() as i64;
        let source = items.into_source().ok_or(Error::Rejected(Rejection::ImportEmpty))?;
        let traceparent = context::current();
        let start = self.database.transaction(ONLY_SHARD, move |tx| {
            let start = async move {
                loop {
                    let traceparent = traceparent.as_deref();
                    if let Some(job) = imports::start(tx, id, &source, staged, traceparent).await? {
                        return Ok(job);
                    }
                    // None: it has ended in this moment.
                    if let Some(job) = imports::running(tx, &source).await? {
                        return Ok::<_, Error>(job);
                    }
                }
            };
            start.boxed()
        });
        Ok(start.await?)
    }

    async fn stage(&self, id: ImportId, items: &mut Items) -> Result<(), Error> {
        let until = items.place();
        let Some((_, offers)) = items.chunk() else { return Ok(()) };
        let from = (until - offers.len()) as i64;
        let write = self.database.write(ONLY_SHARD, move |db| {
            async move { imports::stage(db, id, from, &offers).await }.boxed()
        });
        Ok(write.await?)
    }

    async fn drop_items(&self, id: ImportId) -> Result<(), sqlx::Error> {
        self.database.write(ONLY_SHARD, move |db| imports::drop_items(db, id).boxed()).await
    }

    /// How far an import is.
    pub(crate) async fn import_job(&self, id: ImportId) -> Result<Job, Error> {
        let found = self.read(move |db| imports::read(db, id).boxed()).await?;
        found.ok_or(Error::Rejected(Rejection::ImportNotFound))
    }

    /// Ends an import before its end. What is imported stays.
    pub(crate) async fn cancel_import(&self, id: ImportId) -> Result<Job, Error> {
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                let found = imports::lock(tx, id).await?;
                let mut job = found.ok_or(Rejection::ImportNotFound)?;
                job.cancel()?;
                imports::write(tx, &job).await?;
                imports::drop_items(tx, id).await?;
                Ok(job)
            };
            work.boxed()
        });
        work.await
    }

    /// Imports what is staged, one file after the other, until `stop`.
    pub(crate) fn run_imports(
        self,
        stop: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let staged = Arc::clone(&self.staged);
            while !stop.is_cancelled() {
                match self.import_next().await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "an import waits: will try again"),
                }
                let woken = timeout(POLL, staged.notified());
                stop.run_until_cancelled(woken).await;
            }
            Ok(())
        })
    }

    /// Imports a chunk of the oldest import. Whether there was one that no other copy works at.
    async fn import_next(&self) -> Result<bool, Error> {
        let oldest = self.read(|db| imports::next(db).boxed()).instrument(unrecorded());
        let Some(Job { id, traceparent, .. }) = oldest.await? else { return Ok(false) };
        let span = span(id, traceparent.as_deref());
        for last in (1..=ATTEMPTS).map(|attempt| attempt == ATTEMPTS) {
            let app = self.clone();
            let chunk = self.database.transaction(ONLY_SHARD, move |tx| {
                async move { app.import_some(tx, id).await }.boxed()
            });
            match chunk.instrument(span.clone()).await {
                // Another import added a product between our look and our insert: the next look finds it.
                Err(Error::Rejected(Rejection::SkuTaken)) if !last => {}
                Err(Error::Database(error)) if is_transient(&error) => return Err(error.into()),
                Err(error) => return self.fail(id, &error).instrument(span).await,
                Ok(imported) => return Ok(imported),
            }
        }
        Ok(true)
    }

    async fn import_some(&self, tx: &mut Tx, id: ImportId) -> Result<bool, Error> {
        let Some(mut job) = imports::lock_running(tx, id).await? else { return Ok(false) };
        let offers = imports::take_items(tx, &job, CHUNK as i64).await?;
        let done = self.import_chunk(tx, &job.source, &offers).await?;
        job.imported(offers.len() as i64, done);
        imports::write(tx, &job).await?;
        Ok(true)
    }

    /// The same chunk would be refused again.
    async fn fail(&self, id: ImportId, why: &Error) -> Result<bool, Error> {
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                let Some(mut job) = imports::lock_running(tx, id).await? else { return Ok(false) };
                job.refused();
                imports::write(tx, &job).await?;
                imports::drop_items(tx, id).await?;
                Ok::<_, Error>(true)
            };
            work.boxed()
        });
        let failed = work.await?;
        if failed {
            tracing::error!(import = %id, error = %why, "an import has failed");
        }
        Ok(failed)
    }
}

/// Part of the trace of the upload.
fn span(id: ImportId, traceparent: Option<&str>) -> Span {
    let span = info_span!(parent: None, "import", otel.name = "import chunk", import_id = %id);
    if let Some(traceparent) = traceparent {
        continue_from(&span, traceparent);
    }
    span
}
