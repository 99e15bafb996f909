//! What the machine can do: single rows, each committed durably, by pgbench on the PostgreSQL of the
//! shop. In a schema of its own beside the accounts, which have nothing to do meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result};
use audit::Places;
use stores::{Home, Pgbench, Psql, Tools};
use tokio::task::spawn_blocking;

/// As many as share a fsync well.
pub(super) const CLIENTS: usize = 32;
const MAKE: &str = "drop schema if exists yardstick cascade;
    create schema yardstick;
    create table yardstick.commits (
        id bigint generated always as identity primary key, amount bigint not null);";
const SCRIPT: &str = "\\set amount random(1, 100000)
insert into yardstick.commits (amount) values (:amount);
";
const REMOVE: &str = "drop schema yardstick cascade";

/// pgbench, and where it works.
#[derive(Clone)]
pub(super) struct Yardstick {
    pgbench: Pgbench,
    psql: Psql,
    url: String,
    time: Duration,
}

impl Yardstick {
    /// On the PostgreSQL of this shop, for so long.
    pub(super) fn find(places: &Places, time: Duration) -> Result<Self> {
        let tools = Tools::find(&Home::find()?);
        let url = places.databases.get("user").and_then(|urls| urls.first());
        Ok(Self {
            pgbench: Pgbench::of(&tools)?,
            psql: Psql::of(&tools).context("no psql on this machine")?,
            url: url.context("no database of accounts")?.clone(),
            time,
        })
    }

    /// Durable commits a second.
    pub(super) async fn measure(&self) -> Result<f64> {
        let all = self.clone();
        let measuring = spawn_blocking(move || {
            all.psql.run(&all.url, MAKE)?;
            let rate = all.pgbench.run(&all.url, SCRIPT, CLIENTS, all.time)?;
            all.psql.run(&all.url, REMOVE)?;
            anyhow::Ok(rate)
        });
        measuring.await?.context("the yardstick")
    }
}
