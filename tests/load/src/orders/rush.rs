//! Full load: as many orders are kept under way as were asked for. Whenever the shop has settled one,
//! the next is sent; so none waits longer than the shop needs, and the queue is no longer than it was
//! meant to be. Checkouts without an answer have a limit of their own: what is beyond the shop's places
//! for them would only be turned away, and paid for by those that are not.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use kernel::clock;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::bench::{Phase, Sights};
use super::books::Books;
use super::customers::Customer;
use super::sender::Sender;
use crate::wire::Wire;

/// Batches fill and connections are opened before anything counts.
const WARM_UP: Duration = Duration::from_secs(3);
/// So often the records are asked how many orders are open: that is work for the servers that are measured.
const LOOK: Duration = Duration::from_millis(25);

/// Sends until the time is over, or nobody has a cart any more.
pub(super) async fn rush(
    wire: &Rc<Wire>,
    books: &mut Books,
    sights: &mut Sights,
    mut customers: VecDeque<Customer>,
    (most, unanswered_max, duration): (usize, usize, Duration),
) -> Result<Phase> {
    let sender = Sender::new(wire)?;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, mut from, mut warm) = (Instant::now(), sights.look().await?, false);
    while began.elapsed() < WARM_UP + duration && !customers.is_empty() {
        look.tick().await;
        if !warm && began.elapsed() >= WARM_UP {
            (from, warm) = (sights.look().await?, true);
        }
        let unanswered = sender.under_way();
        let free = most.saturating_sub(books.open_orders().await? + unanswered);
        let free = free.min(unanswered_max.saturating_sub(unanswered)).min(customers.len());
        customers.drain(..free).for_each(|customer| sender.buy(&customer, clock::now()));
    }
    ensure!(warm, "nobody had a cart any more before anything counted: more carts are needed");
    let to = sights.look().await?;
    Ok(Phase { offered: None, from, to, sent: sender.finish().await? })
}
