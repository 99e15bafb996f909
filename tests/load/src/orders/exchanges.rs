//! What an order costs in exchanges with PostgreSQL and in writes: one that is alone, and of a group that is placed at one
//! moment. Nothing is timed, so the figures of two machines are the same, and a test can keep them.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use audit::Places;
use kernel::clock;
use operator::api::Api;
use operator::http::Client;
use operator::layout::Layout;
use operator::running;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use super::batches::{metrics, series};
use super::bench::SETTLED_MAX;
use super::customers::{self, Customer};
use super::sender::Sender;
use super::writes::{Mark, Server};
use crate::seed;
use crate::shop::{Local, Target};
use crate::wire::{Wire, on_this_thread};

/// Members of the group.
pub const GROUP: usize = 32;
/// Each is counted so often, and the least counts: whatever else was at work meanwhile is no part of an order.
const TIMES: usize = 8;
const PRODUCTS: usize = 200;
/// By what part each figure may differ. An order that is alone does the same every time: one statement more fails.
const ALONE_SPARE: [f64; 5] = [0.02; 5];
/// How many batches a group makes depends on the moment, though its shop gathers long; its rows do not.
const TOGETHER_SPARE: [f64; 5] = [0.35, 0.35, 0.06, 0.06, 0.1];
/// What a shop does at rest every few seconds, it does in this time; what it does more seldom, the least count leaves out.
const IDLE: Duration = Duration::from_secs(7);
/// So many lookups wait at least while nobody may look; the others are in the two batches under way.
const GATHERED: f64 = (GROUP / 2) as f64;
const GATHERING_MAX: Duration = Duration::from_millis(1_500);
const NOTICES_MAX: Duration = Duration::from_secs(30);
const CALLS: &str = "rpc_server_call_duration_seconds_count{";
const NOTICE: &str = "ReceiveWebhook\"";
const POLL: Duration = Duration::from_millis(5);

/// What was sent to PostgreSQL and written by it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Statements, but for those that a shop at rest sends as well, `begin` and `commit` among them.
    pub statements: u64,
    /// Transactions that wrote.
    pub commits: u64,
    /// Rows inserted, updated and deleted.
    pub rows: u64,
    /// Entries of indexes.
    pub index_entries: u64,
    /// Bytes of the log without the copies of whole pages.
    pub log_bytes: u64,
}

/// What orders cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Exchanges {
    /// One order of one line, with nobody else in the shop.
    pub alone: Counts,
    /// [`GROUP`] orders of one line that come while the first lookup waits, all of them together.
    pub together: Counts,
}

impl Counts {
    const NAMES: [&'static str; 5] =
        ["statements", "commits", "rows", "index entries", "bytes of the log"];

    fn all(self) -> [u64; 5] {
        [self.statements, self.commits, self.rows, self.index_entries, self.log_bytes]
    }

    fn least(self, other: Self) -> Self {
        Self {
            statements: self.statements.min(other.statements),
            commits: self.commits.min(other.commits),
            rows: self.rows.min(other.rows),
            index_entries: self.index_entries.min(other.index_entries),
            log_bytes: self.log_bytes.min(other.log_bytes),
        }
    }
}

impl Exchanges {
    /// What costs more than it did, or so much less that the record has to follow; one line each.
    pub fn differences(&self, recorded: &Self) -> Vec<String> {
        let both = [
            ("alone", self.alone, recorded.alone, ALONE_SPARE),
            ("together", self.together, recorded.together, TOGETHER_SPARE),
        ];
        let mut told = Vec::new();
        for (which, now, before, spare) in both {
            let figures = Counts::NAMES.into_iter().zip(now.all()).zip(before.all()).zip(spare);
            for (((name, now), before), spare) in figures {
                if (now as f64 - before as f64).abs() > before as f64 * spare {
                    told.push(format!("{which}: {now} {name}, {before} are recorded"));
                }
            }
        }
        told
    }
}

impl fmt::Display for Exchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}{:>10}{:>14}", "", "1 alone", format!("{GROUP} together"))?;
        let both = self.alone.all().into_iter().zip(self.together.all());
        for (name, (alone, together)) in Counts::NAMES.into_iter().zip(both) {
            writeln!(f, "{name:<20}{alone:>10}{together:>14}")?;
        }
        Ok(())
    }
}

/// Counts what so many orders cost in the shop of a folder, which does nothing else. `server` is the URL of a superuser. With
/// `SOUK_SHOW_STATEMENTS` set it prints what was sent.
///
/// # Errors
/// When it is not up, its PostgreSQL does not count, a checkout is refused, or a group does not form.
pub fn count(layout: &Layout, server: &str, orders: usize) -> Result<Counts> {
    on_this_thread(counted(layout, server, orders))
}

async fn counted(layout: &Layout, server: &str, orders: usize) -> Result<Counts> {
    let target = Target::of(layout, running::at(layout)?)?;
    let Local { state, places } = target.local.clone().context("the shop is somewhere else")?;
    let api = Api::new(&target.url());
    let wire = Rc::new(Wire::to(&target.gateways)?);
    let products = seed::products(&api, &target, PRODUCTS).await?;
    let wanted = ((TIMES + 1) * orders, 1);
    let customers = customers::prepare(&api, &wire, (layout, &places), wanted, &products).await?;
    let admin = |service: &str| {
        let process = state.processes.iter().find(|it| it.task.service == service);
        let process = process.with_context(|| format!("no {service} service"))?;
        anyhow::Ok(Client::new(&format!("http://{}", process.task.admin)))
    };
    let (order, payment) = (admin("order")?, admin("payment")?);
    let server = Server::open(Some(server)).await.context("PostgreSQL does not count")?;
    let at_rest = BTreeSet::new();
    let mut counter = Counter { wire, places, order, payment, server, customers, at_rest };
    // The first of everything opens connections and plans statements.
    counter.buy(orders).await?;
    counter.at_rest = counter.rest().await?;
    counter.least(orders).await
}

struct Counter {
    wire: Rc<Wire>,
    places: Places,
    order: Client,
    payment: Client,
    server: Server,
    customers: VecDeque<Customer>,
    /// What a shop at rest sends, by the server's numbers.
    at_rest: BTreeSet<i64>,
}

impl Counter {
    async fn rest(&mut self) -> Result<BTreeSet<i64>> {
        self.settle().await?;
        let from = self.server.mark().await?;
        sleep(IDLE).await;
        self.settle().await?;
        Ok(self.server.mark().await?.sent_since(&from).into_keys().collect())
    }

    async fn least(&mut self, orders: usize) -> Result<Counts> {
        let mut least: Option<Counts> = None;
        for _ in 0..TIMES {
            let from = self.server.mark().await?;
            self.buy(orders).await?;
            let to = self.server.mark().await?;
            let counts = self.between(&from, &to).await?;
            least = Some(least.map_or(counts, |it| it.least(counts)));
        }
        least.context("nothing was counted")
    }

    async fn between(&mut self, from: &Mark, to: &Mark) -> Result<Counts> {
        let writes = self.server.between(from, to).await?;
        let sent = to.sent_since(from).into_iter().filter(|(id, _)| !self.at_rest.contains(id));
        let sent: Vec<(i64, u64)> = sent.collect();
        if std::env::var_os("SOUK_SHOW_STATEMENTS").is_some() {
            sent.iter().for_each(|(id, calls)| println!("{calls:>6}  {}", to.text(*id)));
        }
        Ok(Counts {
            statements: sent.iter().map(|(_, calls)| calls).sum(),
            commits: writes.commits,
            rows: writes.inserted + writes.updated_in_place + writes.updated + writes.deleted,
            index_entries: writes.index_entries,
            log_bytes: writes.log_bytes - writes.page_bytes,
        })
    }

    /// So many orders, from the checkout until nothing is under way any more.
    async fn buy(&mut self, orders: usize) -> Result<()> {
        let sender = Sender::new(&self.wire)?;
        let notices = self.notices().await + orders as f64;
        let held = if orders > 1 { Some(self.hold_lookups().await?) } else { None };
        for customer in self.customers.drain(..orders) {
            sender.buy(&customer, clock::now());
        }
        if let Some(mut held) = held {
            self.gathered().await?;
            statement(&mut held, "commit").await?;
        }
        let sent = sender.finish().await?;
        ensure!(sent.refused.is_empty(), "checkouts were refused: {:?}", sent.refused);
        self.noticed(notices).await?;
        self.settle().await
    }

    /// The provider's webhooks that payment has taken in: one for each charge, which may come after all else is at rest.
    async fn notices(&self) -> f64 {
        let metrics = metrics(&self.payment).await;
        let taken = metrics.lines().filter(|it| it.starts_with(CALLS) && it.contains(NOTICE));
        taken.filter_map(|it| it.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    async fn noticed(&self, wanted: f64) -> Result<()> {
        let deadline = Instant::now() + NOTICES_MAX;
        while self.notices().await < wanted {
            ensure!(Instant::now() < deadline, "the provider's webhooks do not all arrive");
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn settle(&self) -> Result<()> {
        let quiet = audit::until_quiet(&self.places, SETTLED_MAX).await?;
        ensure!(quiet, "the shop does not come to rest within {SETTLED_MAX:?}");
        Ok(())
    }

    /// Nobody may look whether a checkout was answered before, until this connection commits.
    async fn hold_lookups(&self) -> Result<PgConnection> {
        let urls = self.places.of_context("order")?;
        let mut held = PgConnection::connect(urls.first().context("no database")?).await?;
        statement(&mut held, "begin").await?;
        statement(&mut held, "lock table idempotency_keys in access exclusive mode").await?;
        Ok(held)
    }

    async fn gathered(&self) -> Result<()> {
        let deadline = Instant::now() + GATHERING_MAX;
        loop {
            let gauges = series(&metrics(&self.order).await, "souk_batch_waiting");
            let waiting = gauges.iter().find(|(kind, _)| kind == "order.kept").map(|(_, it)| *it);
            if waiting >= Some(GATHERED) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{waiting:?} of {GATHERED} lookups have gathered");
            sleep(POLL).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no query: a lock, and the ends of a transaction")]
async fn statement(connection: &mut PgConnection, text: &'static str) -> Result<()> {
    sqlx::query(text).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_exchange_more_is_told_and_so_is_one_less() {
        let one =
            Counts { statements: 40, commits: 16, rows: 33, index_entries: 50, log_bytes: 9_000 };
        let recorded = Exchanges { alone: one, together: Counts { statements: 100, ..one } };
        assert!(recorded.differences(&recorded).is_empty());
        let mut now = recorded;
        now.alone.statements = 41;
        now.together.statements = 110;
        now.alone.log_bytes = 9_050;
        assert_eq!(now.differences(&recorded), ["alone: 41 statements, 40 are recorded"]);
        now.alone.statements = 39;
        now.together.statements = 140;
        let told = now.differences(&recorded);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1], "together: 140 statements, 100 are recorded");
    }
}
