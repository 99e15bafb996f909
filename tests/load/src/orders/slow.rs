//! `cargo souk bench provider`: more orders than the payment provider has time for. How many are paid,
//! and whether anything is spent on those that are over. What became of them is read from the records;
//! all databases are on one server, so their times are of one clock.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use audit::{Places, Verdict, audit};
use http::Method;
use kernel::{OrderId, clock};
use operator::api::Api;
use operator::http::{Client, full};
use operator::layout::Layout;
use operator::running;
use souk::cli::Provider;
use time::OffsetDateTime;

use super::bench::SETTLED_MAX;
use super::books::{Books, Ended};
use super::customers;
use super::sender::{Sender, Sent};
use crate::pace::Pace;
use crate::say;
use crate::schedule::Phase;
use crate::seed;
use crate::shop::{Local, Target};
use crate::wire::{Wire, on_this_thread};

const PRODUCTS: usize = 100;

/// What became of the orders.
#[derive(Debug)]
pub struct Slow {
    /// Accepted by the shop.
    pub accepted: usize,
    /// Paid in time.
    pub confirmed: usize,
    /// The same, for each second from the first order to the last that was paid.
    pub confirmed_per_second: f64,
    /// Cancelled, although a charge was sent before: money that came and went.
    pub cancelled_under_way: usize,
    /// Cancelled before their charge was sent.
    pub charged_after_the_end: usize,
    /// Whether the books are right.
    pub audit: Verdict,
}

impl Slow {
    /// Whether nothing was spent on orders that were over, and the books are right.
    pub fn is_right(&self) -> bool {
        self.charged_after_the_end == 0 && self.audit.is_clean()
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "accepted   {} orders", self.accepted)?;
        writeln!(f, "paid       {}, {:.1}/s", self.confirmed, self.confirmed_per_second)?;
        writeln!(f, "too late   {} whose charge was under way", self.cancelled_under_way)?;
        writeln!(f, "           {} charged after their end", self.charged_after_the_end)?;
        write!(f, "{}", self.audit)
    }
}

/// Measures the shop of a folder, on this thread.
///
/// # Errors
/// When it is not up, or does not come to rest.
pub fn measure(options: &Provider, layout: &Layout) -> Result<Slow> {
    on_this_thread(measured(options, layout))
}

async fn measured(options: &Provider, layout: &Layout) -> Result<Slow> {
    let target = Target::of(layout, running::at(layout)?)?;
    let Local { places, .. } = target.local.clone().context("the shop is somewhere else")?;
    let wire = Rc::new(Wire::to(&target.gateways)?);
    let api = Api::new(&target.url());
    let products = seed::products(&api, &target, PRODUCTS).await?;
    let seconds = options.duration.as_secs_f64();
    let count = (f64::from(options.rate) * seconds * 1.2) as usize + 50; // a Poisson process varies
    let customers =
        customers::prepare(&api, &wire, (layout, &places), (count, 1), &products).await?;
    say(&format!("customers  {count}, each with something in the cart"));
    take_time(&places, options.delay).await?;
    let from = clock::now();
    let sent = send(options, &wire, customers).await?;
    say(&format!("sent       {} checkouts were accepted", sent.accepted.len()));
    let quiet = audit::until_quiet(&places, SETTLED_MAX).await?;
    ensure!(quiet, "the shop does not come to rest within {SETTLED_MAX:?}");
    take_time(&places, Duration::ZERO).await?;
    let ids: Vec<OrderId> = sent.accepted.keys().copied().collect();
    let audit = audit(&places, &ids, SETTLED_MAX).await.context("auditing")?;
    let (mut books, time) = (Books::open(&places).await?, (from, clock::now()));
    let slow = slow(&sent, &mut books, time, audit.verdict).await?;
    say(&slow.to_string());
    Ok(slow)
}

async fn send(
    options: &Provider,
    wire: &Rc<Wire>,
    mut customers: std::collections::VecDeque<customers::Customer>,
) -> Result<Sent> {
    let sender = Sender::new(wire)?;
    let (name, rate) = ("slow".to_owned(), options.rate);
    let phase = Phase { name, rate, duration: options.duration, measured: true };
    let mut pace = Pace::start(&[phase])?;
    while pace.due.recv().await.is_some() {
        let Some(customer) = customers.pop_front() else { break };
        sender.buy(&customer, clock::now());
    }
    sender.finish().await
}

/// The provider of a shop takes so long for each charge from now on.
///
/// # Errors
/// When it does not answer.
pub(crate) fn slow_provider(layout: &Layout, delay: Duration) -> Result<()> {
    let target = Target::of(layout, running::at(layout)?)?;
    let Local { places, .. } = target.local.context("the shop is somewhere else")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(take_time(&places, delay))
}

/// How long the provider takes for a charge from now on.
async fn take_time(places: &Places, delay: Duration) -> Result<()> {
    let provider = Client::new(&places.psp_url);
    let delay = delay.as_millis();
    let behaviour = format!("{{\"delay_ms\":{{\"min\":{delay},\"max\":{delay}}}}}");
    let request = provider.request(Method::PUT, "/v1/behaviour");
    let request = request.header("content-type", "application/json").body(full(behaviour))?;
    let answer = provider.send(request, Duration::from_secs(5)).await?;
    ensure!(answer.status == 200, "the provider does not take time: {}", answer.status);
    Ok(())
}

async fn slow(
    sent: &Sent,
    books: &mut Books,
    (from, to): (OffsetDateTime, OffsetDateTime),
    audit: Verdict,
) -> Result<Slow> {
    let ended: HashMap<OrderId, Ended> = books.ended(from, to).await?.into_iter().collect();
    let confirmed = ended.values().filter(|ended| ended.confirmed);
    let last = confirmed.clone().map(|ended| ended.at).max().unwrap_or(to);
    let seconds = (last - from).as_seconds_f64();
    let charged = books.charged(from, to).await?;
    let over = charged.iter().filter_map(|(id, sent_at)| {
        let ended = ended.get(id).filter(|ended| !ended.confirmed)?;
        Some(*sent_at > ended.at)
    });
    let (late, under_way): (Vec<bool>, Vec<bool>) = over.partition(|late| *late);
    Ok(Slow {
        accepted: sent.accepted.len(),
        confirmed: confirmed.clone().count(),
        confirmed_per_second: confirmed.count() as f64 / seconds,
        cancelled_under_way: under_way.len(),
        charged_after_the_end: late.len(),
        audit,
    })
}
