//! The provider's notices: those of one moment are taken in with one statement.

use std::sync::Arc;

use batching::{Batcher, Limits};
use database::{Database, ONLY_SHARD};
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

/// In the order of the orders' ids, so that two statements never wait for each other.
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
    let answer = match hint.await.map_err(Arc::new) {
        Ok(hinted) => {
            if hinted {
                work.wake();
            }
            Ok(())
        }
        Err(error) => Err(error),
    };
    (0..count).map(|_| answer.clone().map_err(Error::Database)).collect()
}
