//! Connections to the order databases: opened when they are needed, kept while they work, and unable to write.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::time::timeout;

/// A database that does not answer for so long is away.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// PostgreSQL refuses to write, to wait for locks, and to work for somebody who has gone.
const SETTINGS: [(&str, &str); 3] =
    [("default_transaction_read_only", "on"), ("statement_timeout", "2s"), ("lock_timeout", "1s")];

/// A question that is being answered.
pub type Asked<'c, T> = BoxFuture<'c, Result<T, sqlx::Error>>;

/// The databases of the order context.
#[derive(Debug, Default)]
pub struct Databases {
    open: BTreeMap<String, PgConnection>,
}

impl Databases {
    /// Asks one of them. A connection with which something went wrong is closed.
    ///
    /// # Errors
    /// When it cannot be reached, or does not answer within 2 s.
    pub async fn ask<T>(
        &mut self,
        url: &str,
        question: impl for<'c> FnOnce(&'c mut PgConnection) -> Asked<'c, T>,
    ) -> Result<T> {
        // Taken out: dropped, and so closed, unless all goes well.
        let kept = self.open.remove(url);
        let asked = async {
            let mut database = match kept {
                Some(database) => database,
                None => connect(url).await?,
            };
            let answer = question(&mut database).await?;
            Ok::<_, sqlx::Error>((database, answer))
        };
        let answered = timeout(ANSWER_MAX, asked).await;
        let answered = answered.context("an order database does not answer")?;
        let (database, answer) = answered.context("an order database cannot be read")?;
        self.open.insert(url.to_owned(), database);
        Ok(answer)
    }
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    options.application_name("console").options(SETTINGS).connect().await
}
