//! Schema migrations at start, without downtime (expand and contract). Any number of copies may try at once: one
//! migrates, the others poll.
//! Not sqlx's own lock: it blocks in `pg_advisory_lock`, and a blocked statement is cut by the
//! statement timeout (seen in matrix-authentication-service #5298).

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use kernel::Shard;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::database::{range, sessions};
use crate::{Database, Options, is_contended};

const POLL: Duration = Duration::from_millis(100);
/// Of a migration that did not get a lock, for which everybody waits behind it meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Timeout of one attempt to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Timeout of connecting and all migrations: they may take five minutes, and a server may stop answering meanwhile.
const BRING_UP_MAX: Duration = Duration::from_secs(360);
/// Interval of attempts to reach a database that was unavailable at the start.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// One lock for all migrators of a database: the letters "souk".
const LOCK: i64 = 0x736f_756b;

/// The migrations that every database of a context has: a library's and the context's own, in their order.
pub type Migrations = fn() -> Vec<Migrator>;

impl Database {
    /// Brings every database of the context to the newest version. One that was unavailable at the start is migrated
    /// in the background, and then enabled.
    ///
    /// A schema that is newer already is served as it is: a migration expands, or contracts what the release before
    /// no longer uses (`tests/baseline`). So that release (a copy that is not replaced yet, or a rollback) runs against it.
    ///
    /// # Errors
    /// When a migration fails, or a database belongs to other shards than those that it is configured for.
    pub async fn migrate(&self, migrations: Migrations) -> anyhow::Result<()> {
        let databases = self.pools().count();
        for (index, [reader, writer]) in self.pools().enumerate() {
            if writer.is_disabled() {
                let (reader, writer) = (reader.clone(), writer.clone());
                let met = async move {
                    while let Err(error) =
                        bring_up(writer.session(), (index, databases), migrations).await
                    {
                        log_unavailable(index, &error);
                        sleep(RETRY_EVERY).await;
                    }
                    tracing::info!(index, "the database is there");
                    [reader, writer].iter().for_each(crate::pool::Pool::enable);
                };
                let closing = self.closing().clone();
                self.jobs().spawn(async move { closing.run_until_cancelled(met).await });
            } else {
                bring_up(writer.session(), (index, databases), migrations).await?;
            }
        }
        Ok(())
    }
}

/// Brings every database of a context to the newest version, and ends: all have to be there.
///
/// # Errors
/// When a URL cannot be used, a database does not answer, and as [`Database::migrate`].
pub async fn migrate(options: Options, name: &str, migrations: Migrations) -> anyhow::Result<()> {
    let sessions = sessions(&options, name)?;
    let databases = sessions.len();
    let each = sessions.iter().enumerate();
    let done =
        join_all(each.map(|(index, session)| bring_up(session, (index, databases), migrations)));
    done.await.into_iter().collect()
}

/// Logs why a database is unavailable: WARN if that is transient, ERROR if an operator must act.
fn log_unavailable(index: usize, error: &anyhow::Error) {
    let is_transient = error.downcast_ref().is_some_and(crate::is_transient);
    let is_late = error.is::<Elapsed>();
    let error = format!("{error:#}");
    if is_transient || is_late {
        tracing::warn!(index, error, "still without this database");
    } else {
        tracing::error!(index, error, "this database cannot be used");
    }
}

/// Migrates the database at `index` of `databases`, within the timeout.
async fn bring_up(
    session: &PgConnectOptions,
    at: (usize, usize),
    migrations: Migrations,
) -> anyhow::Result<()> {
    let bring_up = async {
        loop {
            match try_to_bring_up(session, at, migrations).await {
                // What works in the background may hold a lock for longer than a migration may keep everybody waiting.
                Err(error) if waited_for_a_lock(&error) => {
                    tracing::warn!(
                        index = at.0,
                        error = format!("{error:#}"),
                        "migrating: will try again"
                    );
                    sleep(RETRY_AFTER).await;
                }
                outcome => return outcome,
            }
        }
    };
    timeout(BRING_UP_MAX, bring_up).await?
}

fn waited_for_a_lock(error: &anyhow::Error) -> bool {
    error.chain().any(|it| it.downcast_ref::<sqlx::Error>().is_some_and(is_contended))
}

async fn try_to_bring_up(
    session: &PgConnectOptions,
    (index, databases): (usize, usize),
    migrations: Migrations,
) -> anyhow::Result<()> {
    let context = || format!("database {index}");
    // Of its own: a pool gives up sooner than a start may, on a machine that starts everything.
    let connecting = timeout(CONNECT_MAX, PgConnection::connect_with(session)).await;
    let mut connection = connecting.with_context(context)?.with_context(context)?;
    lock(&mut connection).await.with_context(context)?;
    claim_or_check_shards(&mut connection, range(index, databases)).await.with_context(context)?;
    for migrator in migrations() {
        run(&mut connection, migrator)
            .await
            .with_context(|| format!("migrating database {index}"))?;
    }
    connection.close().await?; // the session ends, and with it the lock
    Ok(())
}

async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "got!""#, LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        sleep(POLL).await;
    }
    sqlx::query!("set statement_timeout = '5min'").execute(&mut *connection).await?;
    Ok(())
}

async fn run(connection: &mut PgConnection, mut migrator: Migrator) -> anyhow::Result<()> {
    migrator.set_locking(false); // ours holds
    // `run` cannot be spawned: "implementation of `Acquire` is not general enough", says its source too.
    match migrator.run_direct(None, connection, false).await {
        Err(MigrateError::VersionMissing(version)) if is_newer(&migrator, version) => {
            tracing::warn!(version, "the schema is of a newer release: serving it as it is");
            migrator.set_ignore_missing(true);
            Ok(migrator.run_direct(None, connection, false).await?)
        }
        other => Ok(other?),
    }
}

/// Whether an applied migration that we do not know is newer than all of ours: then a later release has migrated this
/// schema. Otherwise the histories differ, which is an error.
fn is_newer(migrator: &Migrator, version: i64) -> bool {
    migrator.iter().all(|ours| ours.version < version)
}

/// On first use a database stores its range of shards. Later starts compare it with the configuration. The URL of another
/// database, or another number of databases, fails here, and not later as missing rows.
async fn claim_or_check_shards(
    connection: &mut PgConnection,
    (Shard(first), Shard(last)): (Shard, Shard),
) -> anyhow::Result<()> {
    let range = format!(
        "set client_min_messages = warning;
         create schema if not exists shards;
         create table if not exists shards.range (
             only_one boolean  not null primary key default true check (only_one),
             first    smallint not null,
             last     smallint not null
         );
         insert into shards.range (first, last) values ({first}, {last}) on conflict do nothing;
         select first, last from shards.range"
    );
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(range)).fetch_one(connection).await?;
    let (has, to): (i16, i16) = (row.try_get("first")?, row.try_get("last")?);
    ensure!(
        (has, to) == (i16::from(first), i16::from(last)),
        "it has the shards {has} to {to}, and is configured for {first} to {last}: another's URL?"
    );
    Ok(())
}
