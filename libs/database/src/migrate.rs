//! Migrations at start. Any number of copies may try at once: one migrates, the others poll.
//! Not sqlx's own lock: it blocks in `pg_advisory_lock`, and a blocked statement is cut by the
//! statement timeout (seen in matrix-authentication-service #5298).

use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection as _, PgConnection};

use crate::Database;

const POLL: Duration = Duration::from_millis(100);

/// One lock for all migrators of a database: the letters "souk".
const LOCK: i64 = 0x736f_756b;

impl Database {
    /// Brings every database of the context to the newest version. Several migrators (a
    /// library's schema and the context's own) are called one after another.
    ///
    /// A schema that is newer already is served as it is: migrations only expand, so the release before
    /// (a copy that is not replaced yet, or a rollback) runs against it.
    pub async fn migrate(&self, mut migrator: Migrator) -> anyhow::Result<()> {
        migrator.set_locking(false); // ours is below
        for (index, session) in self.sessions().enumerate() {
            // Of its own: a pool gives up sooner than a start may, on a machine that starts everything.
            let mut connection = PgConnection::connect_with(session).await?;
            let done = locked(&mut connection, &mut migrator).await;
            done.with_context(|| format!("migrating database {index}"))?;
            connection.close().await?; // the session ends, and with it the lock
        }
        Ok(())
    }
}

async fn locked(connection: &mut PgConnection, migrator: &mut Migrator) -> anyhow::Result<()> {
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "got!""#, LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        tokio::time::sleep(POLL).await;
    }
    sqlx::query!("set statement_timeout = '5min'").execute(&mut *connection).await?;
    match migrator.run(&mut *connection).await {
        Err(MigrateError::VersionMissing(version)) if is_newer(migrator, version) => {
            tracing::warn!(version, "the schema is of a newer release: serving it as it is");
            migrator.set_ignore_missing(true);
            Ok(migrator.run(connection).await?)
        }
        other => Ok(other?),
    }
}

/// Whether a migration that was applied, and is not one of ours, is of a later release. The oldest such is
/// named first; one from before our last is no release's at all.
fn is_newer(migrator: &Migrator, version: i64) -> bool {
    migrator.iter().all(|ours| ours.version < version)
}
