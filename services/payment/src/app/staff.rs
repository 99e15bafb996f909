//! What staff see of refunds that the provider refused, and what they decide.

use database::{Freshness, ONLY_SHARD, Tx};
use futures_util::FutureExt as _;
use kernel::{OrderId, UserId};
use tracing::Span;

use super::{App, Error};
use crate::domain::refund::{Choice, Note, RefundId};
use crate::domain::{Effect, Payment, Rejection};
use crate::events;
use crate::store::{self, Heard, Page, Seen};

/// What a member of staff has decided about a refund, and why.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub order: OrderId,
    pub refund: RefundId,
    pub by: UserId,
    pub choice: Choice,
    pub note: Note,
}

impl App {
    /// Refunds of an order, or those that wait for a decision.
    pub(crate) async fn refunds(&self, page: Page) -> Result<Vec<Seen>, Error> {
        let read = self.database.read(ONLY_SHARD, Freshness::Primary, move |db| {
            async move { store::refunds(db, &page).await }.boxed()
        });
        Ok(read.await?)
    }

    /// Carries out what a member of staff decides about a refund that the provider refused. Again
    /// it changes nothing.
    pub(crate) async fn decide_refund(&self, decision: Decided) -> Result<Seen, Error> {
        let app = self.clone();
        let work =
            self.database.transaction(ONLY_SHARD, move |tx| app.decide(tx, decision).boxed());
        work.await
    }

    async fn decide(self, tx: &mut Tx, decision: Decided) -> Result<Seen, Error> {
        let Decided { order, refund, by, choice, note } = decision;
        let mut payments = store::lock(tx, &[order]).await?;
        store::load_refunds(tx, &mut payments).await?;
        let payment = payments.get_mut(&order).ok_or(Rejection::RefundNotFound)?;
        let before = payment.refunds.clone();
        let effects = payment.hear(choice.news(refund))?;
        if payment.refunds != before {
            let id = (order, refund);
            store::note_decision(tx, id, choice, by, note.text()).await?;
            self.carry_out(tx, payment, id, by, effects).await?;
        }
        let page = Page { order: Some(order), after: None, limit: i64::MAX };
        let seen = store::refunds(tx, &page).await?;
        let work = self.work.clone();
        tx.after_commit(move || work.wake());
        let seen = seen.into_iter().find(|seen| seen.refund.id == refund);
        seen.ok_or(Error::Rejected(Rejection::RefundNotFound))
    }

    async fn carry_out(
        &self,
        tx: &mut Tx,
        payment: &Payment,
        id: (OrderId, RefundId),
        by: UserId,
        effects: Vec<Effect>,
    ) -> Result<(), sqlx::Error> {
        for effect in effects {
            if let Effect::Settled(refund) = &effect {
                store::settle_by_hand(tx, payment.order, refund, by).await?;
                store::update(tx, &[Heard::of(payment)]).await?;
                let told = events::to_outgoing(payment.order, &effect, &Span::current());
                return self.outbox.publish(tx, &told.into_iter().collect::<Vec<_>>()).await;
            }
        }
        store::retry(tx, id).await
    }
}
