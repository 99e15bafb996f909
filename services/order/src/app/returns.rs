//! Returns: requested by customers, received or refused by staff.

use database::Freshness;
use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use identity::Caller;
use kernel::{OrderId, ReturnId, UserId};

use super::{App, Error, owned};
use crate::domain::returns::{self, Pieces};
use crate::domain::{Order, Rejection, Return};
use crate::store::returns::Cursor;
use crate::{events, store};

/// What a customer wants to send back.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub order: OrderId,
    pub id: ReturnId,
    pub pieces: Pieces,
}

/// What staff says about a return: what has arrived, and why not everything.
#[derive(Clone, Debug)]
pub(crate) struct Inspection {
    pub order: OrderId,
    pub id: ReturnId,
    /// Nothing: the return is refused.
    pub received: Pieces,
    pub reason: String,
}

impl App {
    /// Puts items of a confirmed order on their way back, once per return id.
    pub(crate) async fn return_items(
        &self,
        user: UserId,
        request: Request,
    ) -> Result<Order, Error> {
        let (watch, id) = (self.watch.clone(), request.order);
        let work = self.database.transaction(id.shard(), move |tx| {
            let work = async move {
                owned(store::lock(tx, &[id]).await?.pop(), user)?;
                let mut order = owned(store::order(tx, id).await?, user)?;
                if let Some(new) = returns::request(&order, request.id, request.pieces)? {
                    store::returns::insert(tx, id, &new).await?;
                    order = owned(store::order(tx, id).await?, user)?;
                }
                watch.notify_after_commit(tx, [id]);
                Ok(order)
            };
            work.boxed()
        });
        work.await
    }

    /// The returns that are on their way back, of all shards, oldest first.
    pub(crate) async fn returns_on_their_way(
        &self,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Vec<(OrderId, Return)>, Error> {
        let of_databases = self.database.one_shard_per_database().map(|home| {
            self.database.read(home, Freshness::Primary, move |db| {
                store::returns::on_their_way(db, after, limit).boxed()
            })
        });
        let mut all = try_join_all(of_databases).await?.concat();
        all.sort_by_key(|(order, found)| (found.requested_at, *order, found.id));
        all.truncate(usize::try_from(limit).unwrap_or_default());
        Ok(all)
    }

    /// Takes back what has arrived of a return, or nothing of it; the same again changes nothing.
    /// The publication of what has arrived is what refunds it and puts it on the shelf.
    pub(crate) async fn inspect(
        &self,
        staff: &Caller,
        inspection: Inspection,
    ) -> Result<(OrderId, Return), Error> {
        let (app, by) = (self.clone(), staff.user);
        let Inspection { order: id, id: return_id, received, reason } = inspection;
        let work = self.database.transaction(id.shard(), move |tx| {
            let work = async move {
                store::lock(tx, &[id]).await?;
                let mut order = existing(store::order(tx, id).await?)?;
                if let Some(decided) = returns::decide(&order, return_id, received, reason)? {
                    store::returns::decide(tx, id, &decided, by).await?;
                    if !decided.received.is_empty() {
                        app.outbox.publish(tx, &[events::order_returned(id, &decided)]).await?;
                    }
                    order = existing(store::order(tx, id).await?)?;
                }
                app.watch.notify_after_commit(tx, [id]);
                let found = order.returns.into_iter().find(|found| found.id == return_id);
                Ok((id, found.ok_or(Rejection::ReturnNotFound)?))
            };
            work.boxed()
        });
        work.await
    }
}

fn existing(order: Option<Order>) -> Result<Order, Error> {
    order.ok_or(Error::Rejected(Rejection::OrderNotFound))
}
