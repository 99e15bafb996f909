//! How long orders took from their acceptance to their end: from the records of the shop when they
//! are in reach, and else by asking for some of the orders, as their customers would.

use std::time::Duration;

use anyhow::Result;
use audit::{Facts, State};
use hdrhistogram::Histogram;
use http::header::AUTHORIZATION;
use operator::api::{Api, Order, accepted};
use operator::http::empty;
use tokio::time::{Instant, sleep};

use crate::drive::Acknowledged;
use crate::seed::Member;

/// So many orders are asked for at most; more would be a load of their own.
const ASKED_MAX: usize = 500;
const SETTLED_MAX: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(250);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The ends of the orders of this run.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// From acceptance to end, in microseconds.
    pub(crate) took: Histogram<u64>,
    pub(crate) confirmed: u64,
    pub(crate) cancelled: u64,
    /// Neither, or not there.
    pub(crate) open: u64,
}

impl Ends {
    fn new() -> Result<Self> {
        let took = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        Ok(Self { took, confirmed: 0, cancelled: 0, open: 0 })
    }

    fn add(&mut self, state: State, took: Option<Duration>) {
        match state {
            State::Open => self.open += 1,
            State::Confirmed => self.confirmed += 1,
            State::Cancelled => self.cancelled += 1,
        }
        if let Some(took) = took {
            self.took.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        }
    }

    /// How many orders these are.
    pub(crate) fn count(&self) -> u64 {
        self.confirmed + self.cancelled + self.open
    }
}

/// From the shop's own records.
pub(crate) fn recorded(facts: &Facts, acknowledged: &[Acknowledged]) -> Result<Ends> {
    let mut ends = Ends::new()?;
    for (id, _) in acknowledged {
        let order = facts.orders.get(id);
        let state = order.map_or(State::Open, |order| order.state);
        ends.add(state, order.and_then(|order| order.settled_after));
    }
    Ok(ends)
}

/// As customers see it: evenly chosen orders, each asked for until it has ended.
pub(crate) async fn asked(
    api: &Api,
    members: &[Member],
    acknowledged: &[Acknowledged],
) -> Result<Ends> {
    let mut ends = Ends::new()?;
    let deadline = Instant::now() + SETTLED_MAX;
    let every = acknowledged.len().div_ceil(ASKED_MAX).max(1);
    for (id, customer) in acknowledged.iter().step_by(every) {
        let path = format!("/v1/orders/{id}");
        loop {
            let order = look(api, &members[*customer], &path).await;
            let settled = order.as_ref().is_ok_and(Order::is_settled);
            if settled || Instant::now() >= deadline {
                let (state, took) = order.map_or((State::Open, None), |order| told(&order));
                ends.add(state, took);
                break;
            }
            sleep(AGAIN).await;
        }
    }
    Ok(ends)
}

async fn look(api: &Api, member: &Member, path: &str) -> Result<Order> {
    let request = api.client().request(http::Method::GET, path);
    let request = request.header(AUTHORIZATION, &member.authorization).body(empty())?;
    accepted(api.client().send(request, ANSWER_MAX).await?)?.json()
}

fn told(order: &Order) -> (State, Option<Duration>) {
    let state = match order.state.as_str() {
        "confirmed" => State::Confirmed,
        "cancelled" => State::Cancelled,
        _ => return (State::Open, None),
    };
    let at = |step: Option<&operator::api::Step>| step.map(|step| step.at_unix_ms);
    let took = at(order.steps.last()).zip(at(order.steps.first()));
    let took = took.map(|(end, begin)| u64::try_from(end - begin).unwrap_or_default());
    (state, took.map(Duration::from_millis))
}
