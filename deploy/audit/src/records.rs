//! Open connections to all records of a shop, for whoever looks at them again and again.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

use crate::facts::Facts;
use crate::{Places, databases, provider, quiet};

/// PostgreSQL refuses to write, and to work for an auditor that has gone.
const SETTINGS: [(&str, &str); 2] =
    [("default_transaction_read_only", "on"), ("statement_timeout", "120s")];
const POLL: Duration = Duration::from_millis(100);

/// Connections to the databases, and the way to the provider's ledger. After an error they are to be opened anew.
pub struct Records {
    databases: Vec<Shard>,
    psp_url: String,
}

struct Shard {
    context: String,
    /// With its shard, if there are several.
    name: String,
    connection: PgConnection,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("psp_url", &self.psp_url).finish_non_exhaustive()
    }
}

impl Records {
    /// Connects.
    ///
    /// # Errors
    /// When a database is away.
    pub async fn open(places: &Places) -> Result<Self> {
        let mut databases = Vec::new();
        for (context, urls) in &places.databases {
            for (shard, url) in urls.iter().enumerate() {
                let name =
                    if urls.len() > 1 { format!("{context} {shard}") } else { context.clone() };
                let connection = connect(url).await;
                let connection = connection.with_context(|| name.clone())?;
                databases.push(Shard { context: context.clone(), name, connection });
            }
        }
        Ok(Self { databases, psp_url: places.psp_url.clone() })
    }

    /// Reads every record of the shop. Nothing waits for it: what is under way may be seen by halves.
    ///
    /// # Errors
    /// When a database or the provider cannot be read.
    pub async fn gather(&mut self) -> Result<Facts> {
        let mut facts = Facts::default();
        for Shard { context, name, connection } in &mut self.databases {
            let read = databases::read(connection, context, name, &mut facts).await;
            read.with_context(|| format!("reading the database of {name}"))?;
        }
        let ledger = provider::gather(&self.psp_url, &mut facts).await;
        ledger.context("reading the provider's ledger")?;
        Ok(facts)
    }

    /// Whether every checkout has ended, what it held and owed is settled, and every event is sent.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn are_quiet(&mut self) -> Result<bool> {
        let mut under_way = 0;
        for Shard { context, connection, .. } in &mut self.databases {
            under_way += quiet::under_way(context, connection).await?;
        }
        Ok(under_way == 0)
    }
}

async fn connect(url: &str) -> Result<PgConnection> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.application_name("audit").options(SETTINGS).connect().await?)
}

/// Reads every record of the shop, once.
///
/// # Errors
/// As [`Records::open`] and [`Records::gather`].
pub async fn gather(places: &Places) -> Result<Facts> {
    Records::open(places).await?.gather().await
}

/// Waits until nothing is under way, for `patience` at most. Tells whether it came to that.
///
/// # Errors
/// When a database cannot be read.
pub async fn until_quiet(places: &Places, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    let mut records = Records::open(places).await?;
    loop {
        let quiet = records.are_quiet().await?;
        if quiet || Instant::now() >= deadline {
            return Ok(quiet);
        }
        tokio::time::sleep(POLL).await;
    }
}
