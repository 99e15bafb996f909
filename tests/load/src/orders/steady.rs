//! A rate below what the shop can do: checkouts are sent at the times of a Poisson process, whatever
//! became of those before.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use audit::Places;
use kernel::clock;

use super::bench::{Phase, SETTLED_MAX, Sights};
use super::customers::Customer;
use super::sender::Sender;
use crate::pace::Pace;
use crate::schedule;
use crate::wire::Wire;

/// Sends so many a second until the time is over, or nobody has a cart any more, and waits until all
/// is settled: what that costs belongs to it.
pub(super) async fn steady(
    wire: &Rc<Wire>,
    places: &Places,
    sights: &mut Sights,
    mut customers: VecDeque<Customer>,
    (rate, duration): (u32, Duration),
) -> Result<Phase> {
    let sender = Sender::new(wire)?;
    let name = "half load".to_owned();
    let mut pace = Pace::start(&[schedule::Phase { name, rate, duration, measured: true }])?;
    let begin = clock::now() + pace.begin.saturating_duration_since(Instant::now());
    let from = sights.look().await?;
    while let Some(arrival) = pace.due.recv().await {
        let Some(customer) = customers.pop_front() else { break };
        sender.buy(&customer, begin + arrival.due);
    }
    let seconds = (clock::now() - begin).as_seconds_f64();
    let sent = sender.finish().await?;
    let offered = sent.late.len() as f64 / seconds;
    let quiet = audit::until_quiet(places, SETTLED_MAX).await?;
    ensure!(quiet, "the shop does not come to rest within {SETTLED_MAX:?}");
    Ok(Phase { offered: Some(offered), from, to: sights.look().await?, sent })
}
