//! Catalogue files that are imported in the background. A file is staged in the database, never in a copy's memory or on its
//! disk; then any copy takes its items out, a chunk at a time, in the transaction that imports them. So nothing is
//! imported twice, a copy that dies leaves the rest to the others, and no lease has to expire.
//!
//! Items that no import wants any more are left to retention.

use std::sync::Arc;
use std::time::Duration;

use crash::Point;
use database::{ONLY_SHARD, Tx, constraint, is_misdeployed, is_transient};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use kernel::ImportId;
use sha2::{Digest as _, Sha256};
use telemetry::catalogue::IMPORT_OLDEST;
use telemetry::context::{self, continue_from, unrecorded};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info_span};

use super::import::{CHUNK, Items};
use super::{App, Error, Item};
use crate::domain::{Fault, Job, Offer, Rejection};
use crate::store::imports::{self, File, Started};

/// Imports that run or wait at most, or about so many. Each has up to 100,000 items in the database.
const RUNNING_MAX: i64 = 16;
/// How soon an import is taken up that another copy has staged or left behind, or that could not go on.
const POLL: Duration = Duration::from_secs(1);

/// A part of a file that is being sent.
#[derive(Debug)]
pub(crate) enum Part {
    Item(Item),
    /// It was the whole file, of so many items.
    End {
        items: i64,
    },
}

impl App {
    /// Stages a file, and begins to import it. If that very file is being imported already, its import is the answer.
    pub(crate) async fn start_import<E: From<Error>>(
        &self,
        parts: impl Stream<Item = Result<Part, E>> + Send + Unpin,
    ) -> Result<Job, E> {
        let id = ImportId::mint();
        let file = self.stage_all(id, parts).await?;
        let traceparent = context::current();
        let start = self.database.transaction(ONLY_SHARD, move |tx| {
            async move { start(tx, id, &file, traceparent.as_deref()).await }.boxed()
        });
        let id = start.await?;
        self.staged.notify_one();
        Ok(self.import_job(id).await?)
    }

    async fn stage_all<E: From<Error>>(
        &self,
        id: ImportId,
        mut parts: impl Stream<Item = Result<Part, E>> + Send + Unpin,
    ) -> Result<File, E> {
        let (mut items, mut digest, mut source) = (Items::default(), Sha256::new(), None);
        // A call that its caller gives up looks like one that has ended: only what is sent says that the file has.
        while let Some(part) = parts.next().await {
            match part? {
                Part::Item(item) => {
                    if source.is_none() {
                        self.make_sure_of_room(&item.source).await?;
                    }
                    let source = source.get_or_insert_with(|| item.source.clone());
                    check_source(items.place(), source, &item)?;
                    add(&mut digest, &item.offer);
                    if items.take(item)? {
                        self.stage(id, &mut items).await?;
                    }
                }
                Part::End { items: sent } if sent == items.place() as i64 => {
                    self.stage(id, &mut items).await?;
                    let source = source.ok_or(Error::Rejected(Rejection::ImportEmpty))?;
                    return Ok(File { source, items: sent, digest: digest.finalize().to_vec() });
                }
                Part::End { .. } => break,
            }
        }
        Err(Error::Rejected(Rejection::ImportCutOff).into())
    }

    /// Before anything is staged: what is staged in vain stays for an hour.
    async fn make_sure_of_room(&self, source: &str) -> Result<(), Error> {
        let source = source.to_owned();
        let has_room = self.read(move |db| {
            async move { imports::has_room(db, &source, RUNNING_MAX).await }.boxed()
        });
        if has_room.await? { Ok(()) } else { Err(Rejection::ImportsWaiting.into()) }
    }

    async fn stage(&self, id: ImportId, items: &mut Items) -> Result<(), Error> {
        let until = items.place();
        let offers: Vec<Offer> = items.chunk().into_iter().map(|item| item.offer).collect();
        let from = (until - offers.len()) as i64;
        let write = self.database.write(ONLY_SHARD, move |db| {
            async move { imports::stage(db, id, from, &offers).await }.boxed()
        });
        Ok(write.await?)
    }

    /// How far an import is.
    pub(crate) async fn import_job(&self, id: ImportId) -> Result<Job, Error> {
        let found = self.read(move |db| imports::read(db, id).boxed()).await?;
        found.ok_or(Error::Rejected(Rejection::ImportNotFound))
    }

    /// Ends an import before its end. What is imported stays; a chunk that is being imported is waited for.
    pub(crate) async fn cancel_import(&self, id: ImportId) -> Result<Job, Error> {
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                let found = imports::lock(tx, id).await?;
                let mut job = found.ok_or(Rejection::ImportNotFound)?;
                job.cancel()?;
                imports::write(tx, &job).await?;
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
                match self.import_next().instrument(unrecorded()).await {
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
        let oldest = self.read(|db| imports::next(db).boxed());
        let oldest = oldest.await?;
        IMPORT_OLDEST.set(oldest.map_or(0, |(_, seconds)| seconds));
        let Some((id, _)) = oldest else { return Ok(false) };
        let app = self.clone();
        let chunk = self.database.transaction(ONLY_SHARD, move |tx| {
            async move { app.import_some(tx, id).await }.boxed()
        });
        match chunk.await {
            Ok(imported) => {
                crash::point(Point::ImportChunkAfter);
                Ok(imported)
            }
            // Another import added a product between our look and our insert: the next look finds it.
            Err(Error::Rejected(Rejection::SkuTaken)) => Ok(true),
            Err(error) => match why_for_ever(&error) {
                Some(why) => self.fail(id, why, &error).await,
                None => Err(error),
            },
        }
    }

    async fn import_some(&self, tx: &mut Tx, id: ImportId) -> Result<bool, Error> {
        let Some(mut job) = imports::lock_running(tx, id).await? else { return Ok(false) };
        let span = span(&job);
        let work = async {
            let offers = imports::take_items(tx, &job, CHUNK as i64).await?;
            let taken = offers.len() as i64;
            if taken != (job.items - job.items_imported).min(CHUNK as i64) {
                return Err(Error::Database(sqlx::Error::RowNotFound));
            }
            let item = |offer| Item { source: job.source.clone(), offer };
            let items: Vec<Item> = offers.into_iter().map(item).collect();
            let done = self.import_chunk(tx, &items).await?;
            job.imported(taken, done);
            imports::write(tx, &job).await?;
            crash::point(Point::ImportChunkBefore);
            Ok(true)
        };
        work.instrument(span).await
    }

    async fn fail(&self, id: ImportId, why: String, error: &Error) -> Result<bool, Error> {
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                let Some(mut job) = imports::lock_running(tx, id).await? else { return Ok(false) };
                job.refused(why);
                imports::write(tx, &job).await?;
                Ok::<_, Error>(true)
            };
            work.boxed()
        });
        let failed = work.await?;
        if failed {
            tracing::error!(import = %id, %error, "an import has failed");
        }
        Ok(failed)
    }
}

/// Notes the import, or finds the one of the same file.
async fn start(
    tx: &mut Tx,
    id: ImportId,
    file: &File,
    traceparent: Option<&str>,
) -> Result<ImportId, Error> {
    loop {
        match imports::start(tx, id, file, traceparent, RUNNING_MAX).await? {
            Started::Running => return Ok(id),
            Started::TooMany => return Err(Rejection::ImportsWaiting.into()),
            Started::Another => {}
        }
        match imports::running(tx, &file.source).await? {
            Some((running, digest)) if digest == file.digest => return Ok(running),
            Some(_) => return Err(Rejection::ImportRunning.into()),
            None => {} // it has ended in this moment
        }
    }
}

fn check_source(place: usize, source: &str, item: &Item) -> Result<(), Error> {
    let must_be = "the same in the whole file";
    let fault = || Rejection::Invalid(vec![Fault { field: "source", must_be }]);
    if item.source == source { Ok(()) } else { Err(Error::Item(place, fault())) }
}

/// No two offers are the same bytes: each text has its length before it.
fn add(digest: &mut Sha256, offer: &Offer) {
    let Offer { sku, listing, price, opening_stock } = offer;
    let texts = [sku, &listing.name, &listing.description, &listing.category];
    for text in texts.into_iter().map(String::as_str).chain([price.currency.code()]) {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    }
    digest.update(price.minor.to_be_bytes());
    digest.update(opening_stock.to_be_bytes());
}

/// Why the same chunk would be refused again; none when it may be taken later, or by a copy of another release.
fn why_for_ever(error: &Error) -> Option<String> {
    match error {
        Error::Database(sqlx::Error::RowNotFound) => Some("some of its items are missing".into()),
        Error::Database(error) if is_transient(error) || is_misdeployed(error) => None,
        Error::Database(error) => {
            let code = error.as_database_error()?.code()?.into_owned();
            Some(format!("the database refuses it: {}", constraint(error).unwrap_or(&code)))
        }
        Error::Rejected(rejection) | Error::Item(_, rejection) => Some(rejection.to_string()),
    }
}

/// Part of the trace of the upload.
fn span(job: &Job) -> Span {
    let span = info_span!(parent: None, "import", otel.name = "import chunk", import_id = %job.id);
    if let Some(traceparent) = &job.traceparent {
        continue_from(&span, traceparent);
    }
    span
}
