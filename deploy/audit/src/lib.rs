//! The auditor: says from the records alone whether the shop kept its promises.
//!
//! It reads what every context wrote down and what the payment provider, another company, has in its
//! ledger, and compares the two; it asks no service, because a service that is wrong would be wrong
//! about itself, too. Facts are gathered in one place (`databases`, the only one with SQL) and judged
//! in another ([`judge()`], a pure function), so that each check can be shown a defect.
//!
//! A shop at work is between two states most of the time: money is captured and not yet booked, a
//! reservation is made and not yet known. [`audit()`] therefore waits until nothing is under way, and
//! looks again as long as its patience lasts before it calls anything a defect.

mod places;
mod facts;
mod databases;
mod provider;
mod quiet;
mod records;
mod judge;
mod verdict;

pub use facts::{
    Balance, Basket, Booked, DeadLetter, Facts, Order, Refund, Repeated, Return, ReturnKey, Sent,
    Shelf, State, Unpublished,
};
pub use judge::judge;
pub use places::Places;
pub use records::{Records, gather, until_quiet};
pub use verdict::{Check, Verdict};

use std::time::{Duration, Instant};

use anyhow::Result;
use kernel::OrderId;

/// Between two looks at a shop that has not come to rest.
const AGAIN: Duration = Duration::from_millis(500);

/// What was found, and what it means.
#[derive(Clone, Debug)]
pub struct Audit {
    /// What the records say.
    pub facts: Facts,
    /// Which promises they show kept.
    pub verdict: Verdict,
}

/// Audits the shop. `acknowledged` are the orders that a client was told it has (202); every one of
/// them has to be there. A shop that is still at work, or not clean, is given `patience`.
///
/// # Errors
/// When a record cannot be read: that says nothing about the promises.
pub async fn audit(places: &Places, acknowledged: &[OrderId], patience: Duration) -> Result<Audit> {
    let deadline = Instant::now() + patience;
    until_quiet(places, patience).await?;
    loop {
        let facts = gather(places).await?;
        let verdict = judge(&facts, acknowledged);
        if verdict.is_clean() || Instant::now() >= deadline {
            return Ok(Audit { facts, verdict });
        }
        tokio::time::sleep(AGAIN).await;
    }
}
