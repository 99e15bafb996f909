//! What PostgreSQL did in a phase, as it counts itself: statements that were sent to it (`pg_stat_statements`), and what went to
//! its log (`pg_walinspect`, PostgreSQL 15): rows, index entries, commits, bytes. Counts do not depend on how busy the machine
//! is, so they are compared where times cannot be.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use crate::say;

/// So many of the dearest statements are told.
const DEAREST: usize = 16;
/// Of a statement's text, so much.
const TEXT_MAX: usize = 110;

/// A connection that may see everything.
pub(super) struct Server(PgConnection);

/// What was done so far.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Where the log ends.
    log: String,
    statements: BTreeMap<i64, (i64, f64, String)>,
}

impl Mark {
    /// The statements that were sent since then, by the server's number for each, and how often.
    pub(super) fn sent_since(&self, before: &Mark) -> BTreeMap<i64, u64> {
        let sent = self.statements.iter().map(|(id, (calls, ..))| {
            let earlier = before.statements.get(id).map_or(0, |(calls, ..)| *calls);
            (*id, (calls - earlier).unsigned_abs())
        });
        sent.filter(|(_, calls)| *calls > 0).collect()
    }

    /// How a statement begins.
    pub(super) fn text(&self, id: i64) -> String {
        self.statements.get(&id).map_or_else(String::new, |(.., text)| shortened(text))
    }
}

/// What was done between two marks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Writes {
    /// Statements, `begin` and `commit` included: each is an exchange.
    pub exchanges: u64,
    /// Transactions that wrote.
    pub commits: u64,
    /// Rows that were inserted.
    pub inserted: u64,
    /// Rows that were updated within their page, without a new index entry (heap-only tuples, HOT).
    pub updated_in_place: u64,
    /// Rows that were updated otherwise, with a new entry in each index.
    pub updated: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Entries of indexes.
    pub index_entries: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Of these, copies of whole pages, which are made once after each checkpoint.
    pub page_bytes: u64,
    /// The statements that took longest in all, the dearest first.
    pub dearest: Vec<Statement>,
}

/// What one statement cost.
#[derive(Clone, Debug, Serialize)]
pub struct Statement {
    /// How it begins.
    pub text: String,
    /// How often it ran.
    pub calls: u64,
    /// How long it ran in all, in milliseconds.
    pub ms: f64,
}

impl Server {
    /// With the rights of a superuser. None without a URL, or of a PostgreSQL that does not count: that is said, and times are
    /// measured all the same.
    pub(super) async fn open(url: Option<&str>) -> Option<Self> {
        match Self::with_extensions(url?).await {
            Ok(server) => Some(server),
            Err(error) => {
                say(&format!("statements and rows are not counted: {error:#}"));
                None
            }
        }
    }

    async fn with_extensions(url: &str) -> Result<Self> {
        let mut server = Self(PgConnection::connect(url).await?);
        for extension in ["pg_stat_statements", "pg_walinspect"] {
            server.run(&format!("create extension if not exists {extension}")).await?;
        }
        Ok(server)
    }

    /// What was done by now.
    pub(super) async fn mark(&mut self) -> Result<Mark> {
        let log: (String,) = self.row("select pg_current_wal_flush_lsn()::text").await?;
        let statements: Vec<(i64, i64, f64, String)> = self
            .rows(
                "select queryid, sum(calls)::bigint, sum(total_exec_time), min(query)
                 from pg_stat_statements where queryid is not null group by queryid",
            )
            .await?;
        let statements =
            statements.into_iter().map(|(id, calls, ms, text)| (id, (calls, ms, text)));
        Ok(Mark { log: log.0, statements: statements.collect() })
    }

    /// What was done between two marks.
    pub(super) async fn between(&mut self, from: &Mark, to: &Mark) -> Result<Writes> {
        let mut writes = Writes::default();
        let log = format!(
            r#"select "resource_manager/record_type", count, combined_size::bigint, fpi_size::bigint
               from pg_get_wal_stats('{}', '{}', true)"#,
            from.log, to.log
        );
        let records: Vec<(String, i64, i64, i64)> =
            self.rows(&log).await.context("reading the log")?;
        for (kind, count, bytes, pages) in records {
            let count = count.unsigned_abs();
            writes.log_bytes += bytes.unsigned_abs();
            writes.page_bytes += pages.unsigned_abs();
            let kind = kind.trim_end_matches("+INIT");
            match kind {
                "Heap/INSERT" => writes.inserted += count,
                "Heap/HOT_UPDATE" => writes.updated_in_place += count,
                "Heap/UPDATE" => writes.updated += count,
                "Heap/DELETE" => writes.deleted += count,
                "Transaction/COMMIT" => writes.commits += count,
                _ if kind.starts_with("Btree/INSERT") => writes.index_entries += count,
                _ => {}
            }
        }
        let spent = to.statements.iter().map(|(id, (calls, ms, text))| {
            let (calls_before, ms_before) =
                from.statements.get(id).map_or((0, 0.0), |(calls, ms, _)| (*calls, *ms));
            let calls = u64::try_from(calls - calls_before).unwrap_or_default();
            Statement { text: shortened(text), calls, ms: ms - ms_before }
        });
        writes.dearest = spent.collect();
        writes.exchanges = writes.dearest.iter().map(|it| it.calls).sum();
        writes.dearest.sort_by(|one, other| other.ms.total_cmp(&one.ms));
        writes.dearest.truncate(DEAREST);
        Ok(writes)
    }

    #[expect(clippy::disallowed_methods, reason = "the server's own views, which are no crate's")]
    async fn run(&mut self, statement: &str) -> Result<()> {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut self.0).await?;
        Ok(())
    }

    async fn row<T>(&mut self, query: &str) -> Result<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        self.rows(query).await?.pop().context("no row")
    }

    #[expect(clippy::disallowed_methods, reason = "the server's own views, which are no crate's")]
    async fn rows<T>(&mut self, query: &str) -> Result<Vec<T>>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(&mut self.0).await?)
    }
}

fn shortened(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(TEXT_MAX).collect()
}
