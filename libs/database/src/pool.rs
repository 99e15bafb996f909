//! Pools, and the one place where transactions begin.

use std::future::Future;
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::join_all;
use kernel::Shard;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use thiserror::Error;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::{Options, Pool, Tx};

/// Limits of every session: a lost client or a wild statement lets go of its locks. And no plan
/// that reads a whole table: tables start empty (partitions every day), and a plan made then
/// stays until there are statistics. A statement is planned once for a session and not for every
/// array that it gets: planning took as long as doing (docs/performance.md).
const SESSION: [(&str, &str); 7] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("timezone", "UTC"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// The databases of one context: one, or one for each range of logical shards. Reading and
/// writing have pools of their own, so that neither waits for the other's connections.
#[derive(Clone)]
pub struct Database {
    reads: Arc<[Pool]>,
    writes: Arc<[Pool]>,
    units: TaskTracker,
}

/// A database URL that cannot be used, or a database that does not answer.
#[derive(Debug, Error)]
#[error("database {index}: {source}")]
pub struct ConnectError {
    /// Which of the URLs.
    pub index: usize,
    /// What PostgreSQL or the network said.
    pub source: sqlx::Error,
}

impl Database {
    /// Opens a connection to each database, to know that it is there and to hear what it says when
    /// it is not: a pool would only say that it took too long. `name` shows in `pg_stat_activity`.
    pub async fn connect(options: &Options, name: &str) -> Result<Self, ConnectError> {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (index, url) in options.database_urls.iter().enumerate() {
            let session: PgConnectOptions =
                url.expose_secret().parse().map_err(|source| ConnectError { index, source })?;
            let session = session.application_name(name).options(SESSION);
            let first = PgConnection::connect_with(&session).and_then(PgConnection::close).await;
            first.map_err(|source| ConnectError { index, source })?;
            reads.push(pool_of(options, session.clone()));
            writes.push(pool_of(options, session));
        }
        // Before anybody is told that the process is ready.
        join_all(reads.iter().chain(&writes).map(Pool::warm)).await;
        Ok(Self { reads: reads.into(), writes: writes.into(), units: TaskTracker::new() })
    }

    /// Which database owns the shard: an index. N databases own 256/N neighbouring shards each.
    pub fn index_of(&self, shard: Shard) -> usize {
        usize::from(shard.0) * self.reads.len() / Shard::COUNT
    }

    /// For single statements on one shard, outside of any transaction. Whatever takes more goes
    /// through [`Database::unit_of_work`].
    pub fn shard(&self, shard: Shard) -> &Pool {
        &self.reads[self.index_of(shard)]
    }

    /// As [`Database::shard`], in a context that has one database.
    pub fn sole(&self) -> &Pool {
        &self.reads[0]
    }

    /// As [`Database::shard`], for all databases in the order of their shards.
    pub fn pools(&self) -> &[Pool] {
        &self.reads
    }

    /// Begins a transaction on the database of `shard`. To be called inside
    /// [`Database::unit_of_work`] or a background task, never in a future that a request drops.
    pub async fn begin(&self, shard: Shard) -> Result<Tx, sqlx::Error> {
        self.begin_at(self.index_of(shard)).await
    }

    /// Begins a transaction on the database with this index.
    pub async fn begin_at(&self, index: usize) -> Result<Tx, sqlx::Error> {
        Ok(Tx::new(self.writes[index].begin().await?, index))
    }

    /// Runs `work` to its end even when the caller is dropped: axum, tonic's deadline and
    /// `select!` drop futures, and a dropped `begin` poisons a pool (transact-rs/sqlx #4393).
    /// Keeps the span; [`Database::close`] waits for it. A panic goes on in the caller.
    pub async fn unit_of_work<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.units.spawn(work.in_current_span()).await {
            Ok(done) => done,
            Err(lost) if lost.is_panic() => panic::resume_unwind(lost.into_panic()),
            // The runtime is going away, and the caller with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for the units of work that are under way, then closes the connections.
    pub async fn close(&self) {
        self.units.close();
        self.units.wait().await;
        for pool in self.reads.iter().chain(self.writes.iter()) {
            pool.close().await;
        }
    }
}

fn pool_of(options: &Options, session: PgConnectOptions) -> Pool {
    let most = usize::try_from(options.database_connections.get()).unwrap_or(usize::MAX);
    Pool::new(session, most, Duration::from_millis(options.database_acquire_ms.get().into()))
}
