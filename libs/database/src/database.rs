//! The databases of one context, and which of them has which shard.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::join_all;
use kernel::Shard;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Meter;
use crate::pool::Pool;
use crate::{Freshness, Options};

/// Settings of every session. Timeouts, so that a lost client or a wild statement releases its locks. No sequential
/// scans: tables start empty (partitions every day), and a query plan made then stays until there are statistics. And
/// one plan for each prepared statement, not one for each array: planning took as long as execution
/// (docs/performance.md). That plan may not start parallel workers: for ten rows of a large table it would, at 7 ms.
const SESSION: [(&str, &str); 8] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("timezone", "UTC"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("max_parallel_workers_per_gather", "0"),
];

/// Timeout of one operation (read, write or transaction) on a connection, against a server that neither answers nor
/// closes. Longer than the timeouts of a session.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for an operator's commands, which may work on many rows while the database is busy.
const OPERATORS_OPERATION_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);
/// Timeout of the first connection, at start.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Acquire timeout of an operator's commands, in milliseconds.
const OPERATORS_ACQUIRE_MS: NonZeroU32 = NonZeroU32::MIN.saturating_add(14_999);

/// The shard to use in an unsharded context: everything is in its one database.
pub const ONLY_SHARD: Shard = Shard(0);

/// The databases of one context: one, or one for each range of logical shards. Reading and
/// writing have pools of their own (bulkheads), so that neither waits for the other's connections.
#[derive(Clone)]
pub struct Database {
    readers: Arc<[Pool]>,
    writers: Arc<[Pool]>,
    operation_timeout: Duration,
    jobs: TaskTracker,
    closing: CancellationToken,
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
    /// Opens a connection to each database, to check that it is available and to get its error if not: a pool would only
    /// report a timeout. `name` shows in `pg_stat_activity`.
    ///
    /// An unavailable database among others fails only its own users: its pools are disabled until
    /// [`Database::migrate`] has reached it.
    ///
    /// # Errors
    /// When a URL cannot be used, or no database answers.
    pub async fn connect(options: &Options, name: &str) -> Result<Self, ConnectError> {
        let sessions = sessions(options, name)?;
        let answers = join_all(sessions.iter().enumerate().map(|(at, it)| ping(at, it))).await;
        let there: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        for away in answers.into_iter().filter_map(Result::err) {
            if there.iter().all(|there| !there) {
                return Err(away);
            }
            tracing::warn!(index = away.index, error = %away, "serving without this database for now");
        }
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for ((index, session), there) in sessions.into_iter().enumerate().zip(there) {
            let meter = |kind| Meter::new(index, kind, session.get_database().unwrap_or_default());
            let (read, write) = (meter("read"), meter("write"));
            let reader = pool(options, session.clone(), read);
            let writer = pool(options, session, write);
            if !there {
                reader.disable();
                writer.disable();
            }
            readers.push(reader);
            writers.push(writer);
        }
        // Before anybody is told that the process is ready.
        join_all(readers.iter().chain(&writers).map(Pool::warm)).await;
        let (readers, writers) = (readers.into(), writers.into());
        let (jobs, closing) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { readers, writers, operation_timeout: OPERATION_TIMEOUT, jobs, closing })
    }

    /// As [`Database::connect`], for an operator, who has the time to wait.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn connect_for_operator(options: &Options, name: &str) -> Result<Self, ConnectError> {
        let acquire = options.database_acquire_ms.max(OPERATORS_ACQUIRE_MS);
        let options = Options { database_acquire_ms: acquire, ..options.clone() };
        let database = Self::connect(&options, name).await?;
        Ok(Self { operation_timeout: OPERATORS_OPERATION_TIMEOUT, ..database })
    }

    /// Which database owns the shard: an index. N databases own 256/N neighbouring shards each.
    pub fn index_of(&self, shard: Shard) -> usize {
        usize::from(shard.0) * self.readers.len() / Shard::COUNT
    }

    /// The first shard of each database, in their order: for work that is done once per database.
    pub fn one_shard_per_database(&self) -> impl Iterator<Item = Shard> + use<> {
        let databases = self.readers.len();
        (0..databases).map(move |index| range(index, databases).0)
    }

    /// Answers each item from the database of its shard: those of one database together, all databases at once. An error
    /// of one database is the answer to its own items. `run` gets one of their shards and answers in their order.
    ///
    /// # Panics
    /// When `run` does not answer each: somebody would get the answer of somebody else.
    pub async fn each<T, R, E, F>(
        &self,
        items: Vec<T>,
        shard: impl Fn(&T) -> Shard,
        run: impl Fn(Shard, Vec<T>) -> F,
    ) -> Vec<Result<R, E>>
    where
        E: Clone,
        F: Future<Output = Result<Vec<R>, E>>,
    {
        let mut parts: BTreeMap<usize, (Shard, Vec<usize>, Vec<T>)> = BTreeMap::new();
        for (at, item) in items.into_iter().enumerate() {
            let shard = shard(&item);
            let part = parts.entry(self.index_of(shard)).or_insert((shard, Vec::new(), Vec::new()));
            part.1.push(at);
            part.2.push(item);
        }
        let answers = parts.into_values().map(|(shard, places, items)| {
            let answers = run(shard, items);
            async move {
                let answers: Vec<Result<R, E>> = match answers.await {
                    Ok(answers) => answers.into_iter().map(Ok).collect(),
                    Err(error) => places.iter().map(|_| Err(error.clone())).collect(),
                };
                assert_eq!(answers.len(), places.len(), "an answer each");
                places.into_iter().zip(answers).collect::<Vec<_>>()
            }
        });
        let mut all: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
        all.sort_unstable_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Readiness: whether at least one database is available. An unavailable one fails only its own users.
    ///
    /// # Errors
    /// When all are unavailable: their indexes.
    pub async fn check(self) -> anyhow::Result<()> {
        let unreachable = self.unreachable();
        let some_answer = unreachable.len() < self.readers.len();
        anyhow::ensure!(some_answer, "unreachable: database {unreachable:?}");
        Ok(())
    }

    /// The indexes of the databases that accept no connections now; empty when all do.
    pub fn unreachable(&self) -> Vec<usize> {
        let lost = |(index, pools): (usize, (&Pool, &Pool))| {
            (pools.0.is_unreachable() || pools.1.is_unreachable()).then_some(index)
        };
        self.readers.iter().zip(&*self.writers).enumerate().filter_map(lost).collect()
    }

    /// Waits for the operations in flight, then closes the connections.
    pub async fn close(&self) {
        self.closing.cancel();
        self.jobs.close();
        self.jobs.wait().await;
        for pool in self.readers.iter().chain(&*self.writers) {
            pool.close().await;
        }
    }

    /// Today a shard has no replicas: its primary is fresh enough for every read.
    pub(crate) fn reader(&self, shard: Shard, _freshness: Freshness) -> &Pool {
        &self.readers[self.index_of(shard)]
    }

    pub(crate) fn writer(&self, shard: Shard) -> &Pool {
        &self.writers[self.index_of(shard)]
    }

    /// Both pools of each database.
    pub(crate) fn pools(&self) -> impl Iterator<Item = [&Pool; 2]> {
        self.readers.iter().zip(&*self.writers).map(|(reader, writer)| [reader, writer])
    }

    /// Cancelled by [`Database::close`].
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    pub(crate) fn operation_timeout(&self) -> Duration {
        self.operation_timeout
    }

    pub(crate) fn jobs(&self) -> &TaskTracker {
        &self.jobs
    }
}

/// The first and the last shard of the database at `index`, among `databases` (see `index_of`).
pub(crate) fn range(index: usize, databases: usize) -> (Shard, Shard) {
    // At most 255, as there are 256 shards.
    let shard = |number: usize| Shard(u8::try_from(number).unwrap_or(u8::MAX));
    let first = |index: usize| (index * Shard::COUNT).div_ceil(databases);
    (shard(first(index)), shard(first(index + 1).saturating_sub(1)))
}

/// How a session is opened with each database.
pub(crate) fn sessions(
    options: &Options,
    name: &str,
) -> Result<Vec<PgConnectOptions>, ConnectError> {
    let session = |(index, url): (usize, &SecretString)| {
        let session: PgConnectOptions =
            url.expose_secret().parse().map_err(|source| ConnectError { index, source })?;
        Ok(session.application_name(name).options(SESSION))
    };
    options.database_urls.iter().enumerate().map(session).collect()
}

/// Whether the database answers.
async fn ping(index: usize, session: &PgConnectOptions) -> Result<(), ConnectError> {
    let pinging = PgConnection::connect_with(session).and_then(PgConnection::close);
    let answer = timeout(PING_TIMEOUT, pinging).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    answer.map_err(|source| ConnectError { index, source })
}

fn pool(options: &Options, session: PgConnectOptions, meter: Meter) -> Pool {
    let most = usize::try_from(options.database_connections.get()).unwrap_or(usize::MAX);
    let within = Duration::from_millis(options.database_acquire_ms.get().into());
    Pool::new(session, most, within, meter)
}
