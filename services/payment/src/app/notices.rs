//! The provider's notices: those of one moment are taken in with one statement.

use batching::{Batcher, Limits};
use database::{Database, ONLY_SHARD, shared};
use futures_util::FutureExt as _;

use super::Error;
use crate::store;
use crate::webhook::Notice;
use crate::worker::Work;

/// Two statements at once.
const LIMITS: Limits = Limits { size: 256, under_way: 2 };

/// Takes notices in, and wakes the worker when one of them is about something that waits.
pub(super) fn batcher(database: &Database, work: &Work) -> Batcher<Notice, Result<(), Error>> {
    let (database, work) = (database.clone(), work.clone());
    Batcher::new("payment.notices", LIMITS, move |notices| {
        take_in(database.clone(), work.clone(), notices).boxed()
    })
}

/// In the order of the orders' ids, so that two statements that meet wait one way.
async fn take_in(
    database: Database,
    work: Work,
    mut notices: Vec<Notice>,
) -> Vec<Result<(), Error>> {
    notices.sort_unstable_by_key(|notice| notice.order);
    let count = notices.len();
    let hint = database.write(ONLY_SHARD, move |db| {
        async move { store::make_due_by_webhooks(db, &notices).await }.boxed()
    });
    match hint.await {
        Ok(hinted) => {
            if hinted {
                work.wake();
            }
            (0..count).map(|_| Ok(())).collect()
        }
        Err(error) => {
            let error = shared(error);
            (0..count).map(|_| Err(error().into())).collect()
        }
    }
}
