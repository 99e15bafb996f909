//! One run on a shop that is up, from the first customer to the verdict.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use audit::{Places, audit};
use kernel::{OrderId, clock};
use operator::api::Api;
use operator::board::now_unix_ms;
use operator::layout::Layout;
use operator::running;
use souk::cli::Orders;
use time::OffsetDateTime;

use super::batches::{InUse, Processes, Sizes};
use super::books::Books;
use super::customers::{self, Customer};
use super::report::{self, Report, Setting, Told};
use super::rush::rush;
use super::sender::Sent;
use super::steady::steady;
use super::writes::{Mark, Server};
use super::yardstick::Yardstick;
use crate::machine::{self, Environment, Group, Snapshot};
use crate::say;
use crate::seed;
use crate::shop::{Local, Target};
use crate::wire::{Wire, on_this_thread};

/// For the last orders to settle, and for the records to agree.
pub(super) const SETTLED_MAX: Duration = Duration::from_secs(60);
const PRODUCTS: usize = 1_000;

/// The moment at which a phase begins or ends.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: OffsetDateTime,
    /// None where the kernel does not tell.
    pub(super) spent: Option<Snapshot>,
    /// None where PostgreSQL is not ours to ask.
    pub(super) done: Option<Mark>,
    pub(super) batches: Sizes,
    pub(super) in_use: InUse,
}

/// What is looked at.
pub(super) struct Sights {
    pub(super) groups: Vec<Group>,
    pub(super) server: Option<Server>,
    pub(super) processes: Processes,
}

impl Sights {
    pub(super) async fn look(&mut self) -> Result<Look> {
        let done = match &mut self.server {
            Some(server) => Some(server.mark().await?),
            None => None,
        };
        let (batches, in_use) = self.processes.counted().await;
        Ok(Look { at: clock::now(), spent: machine::snapshot(&self.groups), done, batches, in_use })
    }
}

/// What was done and seen in a phase.
#[derive(Debug)]
pub(super) struct Phase {
    /// Checkouts a second that were due; at full load nothing is.
    pub(super) offered: Option<f64>,
    pub(super) from: Look,
    pub(super) to: Look,
    pub(super) sent: Sent,
}

/// Measures the shop of a folder, on this thread. What its PostgreSQL did is counted with the URL of a superuser.
///
/// # Errors
/// When it is not up, is lacking something that the measurement needs, or settles nothing.
pub fn measure(options: &Orders, layout: &Layout, server: Option<&str>) -> Result<Report> {
    on_this_thread(measured(options, layout, server))
}

/// A shop that is ready to be measured.
struct Stage {
    wire: Rc<Wire>,
    places: Places,
    books: Books,
    sights: Sights,
    yardstick: Yardstick,
}

async fn measured(options: &Orders, layout: &Layout, server: Option<&str>) -> Result<Report> {
    let (started_unix_ms, environment) = (now_unix_ms(), Environment::now());
    let target = Target::of(layout, running::at(layout)?)?;
    let Local { state, places } = target.local.clone().context("the shop is somewhere else")?;
    let mut stage = Stage {
        wire: Rc::new(Wire::to(&target.gateways)?),
        books: Books::open(&places).await?,
        sights: Sights {
            groups: machine::groups(&state, "bench"),
            server: Server::open(server).await,
            processes: Processes::of(&state),
        },
        yardstick: Yardstick::find(&places, options.yardstick)?,
        places,
    };
    let durability = stage.books.durability().await?;
    let customers = stage.customers(&target, layout, options).await?;
    let before = stage.yardstick().await?;
    let [full, half] = stage.phases(options, customers).await?;
    let after = stage.yardstick().await?;
    let ids: Vec<OrderId> =
        full.phase.sent.accepted.keys().chain(half.phase.sent.accepted.keys()).copied().collect();
    let audit = audit(&stage.places, &ids, SETTLED_MAX).await.context("auditing")?;
    let shop = crate::report::Layout::of(&state);
    let (carts, lines, under_way) = (options.carts, options.lines, options.under_way);
    let setting = Setting {
        started_unix_ms,
        environment,
        shop,
        durability,
        carts,
        lines,
        under_way,
        products: PRODUCTS,
    };
    let report = report::report(
        setting,
        [before, after],
        [full, half],
        &stage.sights.groups,
        audit.verdict,
    )?;
    say(&report.to_string());
    Ok(report)
}

impl Stage {
    async fn customers(
        &self,
        target: &Target,
        layout: &Layout,
        options: &Orders,
    ) -> Result<VecDeque<Customer>> {
        let api = Api::new(&target.url());
        let products = seed::products(&api, target, PRODUCTS).await?;
        let (count, lines) = (usize::try_from(options.carts)?, usize::try_from(options.lines)?);
        let here = (layout, &self.places);
        let wanted = (count, lines);
        let customers = customers::prepare(&api, &self.wire, here, wanted, &products).await?;
        say(&format!("customers  {count}, each with something in the cart"));
        Ok(customers)
    }

    async fn yardstick(&self) -> Result<f64> {
        let rate = self.yardstick.measure().await?;
        say(&format!("yardstick  {rate:.0} durable commits/s"));
        Ok(rate)
    }

    /// Full load, and half of what came out of it.
    async fn phases(
        &mut self,
        options: &Orders,
        mut customers: VecDeque<Customer>,
    ) -> Result<[Told; 2]> {
        let rushing = customers.split_off(customers.len() / 3);
        let most = |count| usize::try_from(count);
        let load = (most(options.under_way)?, most(options.unanswered)?, options.duration);
        let phase = rush(&self.wire, &mut self.books, &mut self.sights, rushing, load).await?;
        let quiet = audit::until_quiet(&self.places, SETTLED_MAX).await?;
        ensure!(quiet, "the shop does not come to rest within {SETTLED_MAX:?}");
        let full = Told::of(phase, &mut self.books, &mut self.sights).await?;
        let rate = full.settled.len() as f64 / full.seconds();
        say(&format!("full load  {rate:.0} settled orders/s"));
        ensure!(!full.settled.is_empty(), "no order was settled: {:?}", full.phase.sent.refused);
        let load = ((rate / 2.0).round().max(1.0) as u32, options.duration);
        let phase = steady(&self.wire, &self.places, &mut self.sights, customers, load).await?;
        let half = Told::of(phase, &mut self.books, &mut self.sights).await?;
        say(&format!("half load  {} settled orders", half.settled.len()));
        Ok([full, half])
    }
}
