//! Refunds: what the worker carries out, and what staff see and decide.

use std::collections::BTreeMap;

use kernel::{Money, OrderId, UserId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Lease, Result, decode, money, refund_state};
use crate::domain::refund::{Choice, Refund, RefundId, key};

/// An intent to give money back.
pub(crate) struct NewRefund {
    pub order: OrderId,
    pub refund: Refund,
    pub traceparent: Option<String>,
}

/// Writes intents, each once.
pub(crate) async fn insert_refunds(tx: &mut PgConnection, refunds: &[NewRefund]) -> Result<()> {
    let orders: Vec<Uuid> = refunds.iter().map(|new| new.order.uuid()).collect();
    let ids: Vec<String> = refunds.iter().map(|new| new.refund.id.code()).collect();
    let currencies: Vec<&str> =
        refunds.iter().map(|new| new.refund.amount.currency.code()).collect();
    let amounts: Vec<i64> = refunds.iter().map(|new| new.refund.amount.minor).collect();
    let traces: Vec<Option<&str>> = refunds.iter().map(|new| new.traceparent.as_deref()).collect();
    sqlx::query!(
        "insert into refunds (order_id, refund_id, currency, amount_minor, traceparent)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[])
         on conflict do nothing",
        &orders,
        &ids,
        &currencies as &[&str],
        &amounts,
        &traces as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Money that is to go back.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub order: OrderId,
    pub refund: RefundId,
    pub capture_id: String,
    pub amount: Money,
    pub attempts: i32,
    pub traceparent: Option<String>,
}

struct OwedRow {
    order_id: Uuid,
    refund_id: String,
    capture_id: String,
    currency: String,
    amount_minor: i64,
    attempts: i32,
    traceparent: Option<String>,
}

impl OwedRow {
    fn owed(self) -> Result<Owed> {
        Ok(Owed {
            order: self.order_id.into(),
            refund: RefundId::parse(&self.refund_id).ok_or_else(|| decode("refunds.refund_id"))?,
            capture_id: self.capture_id,
            amount: money(&self.currency, self.amount_minor)?,
            attempts: self.attempts,
            traceparent: self.traceparent,
        })
    }
}

/// Leases up to `limit` refunds that are due, of payments that were captured.
pub(crate) async fn claim_refunds(
    connection: &mut PgConnection,
    lease: Lease,
    limit: i64,
) -> Result<Vec<Owed>> {
    sqlx::query_as!(
        OwedRow,
        r#"with claimed as (
               update refunds r set leased_by = $1, leased_until = now() + make_interval(secs => $2)
               from (
                   select r.order_id, r.refund_id, p.capture_id
                   from refunds r join payments p using (order_id)
                   where r.refunded_at is null and r.refused_at is null
                       and r.leased_until <= now() and p.capture_id is not null
                   order by r.leased_until limit $3 for update of r skip locked
               ) due
               where r.order_id = due.order_id and r.refund_id = due.refund_id
               returning r.*, due.capture_id, set_config('synchronous_commit', 'off', true)
           )
           select order_id, refund_id, capture_id as "capture_id!", currency, amount_minor,
               attempts, traceparent
           from claimed"#,
        lease.holder,
        lease.seconds,
        limit
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(OwedRow::owed)
    .collect()
}

/// The result of a call for a refund.
pub(crate) struct Repaid {
    pub order: OrderId,
    pub refund: RefundId,
    /// The provider's, once it is done.
    pub transfer_id: Option<String>,
    /// The provider's code, when it refuses.
    pub refusal: Option<String>,
    pub attempts: i32,
    pub pause_seconds: f64,
}

/// Records the results of calls for refunds.
pub(crate) async fn record_refunds(tx: &mut PgConnection, repaid: &[Repaid]) -> Result<()> {
    let orders: Vec<Uuid> = repaid.iter().map(|r| r.order.uuid()).collect();
    let ids: Vec<String> = repaid.iter().map(|r| r.refund.code()).collect();
    let transfers: Vec<Option<&str>> = repaid.iter().map(|r| r.transfer_id.as_deref()).collect();
    let refusals: Vec<Option<&str>> = repaid.iter().map(|r| r.refusal.as_deref()).collect();
    let attempts: Vec<i32> = repaid.iter().map(|r| r.attempts).collect();
    let pauses: Vec<f64> = repaid.iter().map(|r| r.pause_seconds).collect();
    sqlx::query!(
        "update refunds r set
             transfer_id = c.transfer_id,
             refunded_at = case when c.transfer_id is not null then now() end,
             refused_at = case when c.refusal is not null then now() else r.refused_at end,
             refusal = coalesce(c.refusal, r.refusal),
             attempts = c.attempts,
             leased_by = null,
             leased_until = now() + make_interval(secs => c.pause * (1 + random() / 2))
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[])
             c(order_id, refund_id, transfer_id, refusal, attempts, pause)
         where r.order_id = c.order_id and r.refund_id = c.refund_id and r.refunded_at is null",
        &orders,
        &ids,
        &transfers as &[Option<&str>],
        &refusals as &[Option<&str>],
        &attempts,
        &pauses
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A refund as staff see it.
pub(crate) struct Seen {
    pub order: OrderId,
    pub refund: Refund,
    /// The provider's code, if it refused the last time it was asked.
    pub refusal: Option<String>,
    pub refused_at: Option<OffsetDateTime>,
    /// Oldest first.
    pub decisions: Vec<Decision>,
}

/// What a member of staff decided.
pub(crate) struct Decision {
    pub choice: Choice,
    pub by: UserId,
    pub note: String,
    /// The refusal that it answers.
    pub refusal: String,
    pub at: OffsetDateTime,
}

/// Which refunds to show: those of an order, or all that wait for a decision.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub order: Option<OrderId>,
    /// The last one of the page before.
    pub after: Option<(OrderId, RefundId)>,
    pub limit: i64,
}

/// Refunds with what was decided about them.
pub(crate) async fn refunds(connection: &mut PgConnection, page: &Page) -> Result<Vec<Seen>> {
    let after = page.after.map(|(order, refund)| (order.uuid(), refund.code()));
    let (after_order, after_refund) = after.unzip();
    let rows = sqlx::query!(
        r#"select order_id, refund_id, currency, amount_minor, refusal, refused_at,
               refused_at is not null as "refused!", refunded_at is not null as "ended!",
               settled_by is not null as "by_hand!"
           from refunds
           where (order_id = $1 or ($1 is null and refused_at is not null and refunded_at is null))
               and ($2::uuid is null or (order_id, refund_id) > ($2, $3))
           order by order_id, refund_id limit $4"#,
        page.order.map(OrderId::uuid),
        after_order,
        after_refund,
        page.limit
    )
    .fetch_all(&mut *connection)
    .await?;
    let orders: Vec<Uuid> = rows.iter().map(|row| row.order_id).collect();
    let mut decisions = decisions(connection, &orders).await?;
    let seen = rows.into_iter().map(|row| {
        let id = RefundId::parse(&row.refund_id).ok_or_else(|| decode("refunds.refund_id"))?;
        let amount = money(&row.currency, row.amount_minor)?;
        let state = refund_state(row.refused, row.ended, row.by_hand);
        Ok(Seen {
            order: row.order_id.into(),
            refund: Refund { id, amount, state },
            refusal: row.refusal,
            refused_at: row.refused_at,
            decisions: decisions.remove(&(row.order_id, row.refund_id)).unwrap_or_default(),
        })
    });
    seen.collect()
}

type Decisions = BTreeMap<(Uuid, String), Vec<Decision>>;

async fn decisions(connection: &mut PgConnection, orders: &[Uuid]) -> Result<Decisions> {
    let rows = sqlx::query!(
        "select order_id, refund_id, decision, decided_by, note, refusal, decided_at
         from refund_decisions where order_id = any($1) order by decided_at",
        orders
    )
    .fetch_all(connection)
    .await?;
    let mut decisions = Decisions::new();
    for row in rows {
        let choice = Choice::parse(&row.decision);
        decisions.entry((row.order_id, row.refund_id)).or_default().push(Decision {
            choice: choice.ok_or_else(|| decode("refund_decisions.decision"))?,
            by: row.decided_by.into(),
            note: row.note,
            refusal: row.refusal,
            at: row.decided_at,
        });
    }
    Ok(decisions)
}

/// Has a refused refund tried again, now.
pub(crate) async fn retry(
    tx: &mut PgConnection,
    (order, refund): (OrderId, RefundId),
) -> Result<()> {
    sqlx::query!(
        "update refunds set refused_at = null, refusal = null, attempts = 0, leased_until = now()
         where order_id = $1 and refund_id = $2",
        order.uuid(),
        refund.code()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a refused refund without the provider, and books it as paid by hand.
pub(crate) async fn settle_by_hand(
    tx: &mut PgConnection,
    order: OrderId,
    refund: &Refund,
    by: UserId,
) -> Result<()> {
    sqlx::query!(
        "with settled as (
             update refunds set refunded_at = now(), transfer_id = $3, settled_by = $4
             where order_id = $1 and refund_id = $2
         )
         insert into ledger (transfer_id, order_id, debit_account, credit_account, currency,
             amount_minor)
         values ($3, $1, 'refunds', 'paid_by_hand', $5, $6)",
        order.uuid(),
        refund.id.code(),
        format!("by_hand.{}", key(order, refund.id)),
        by.uuid(),
        refund.amount.currency.code(),
        refund.amount.minor
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps who decided what and why, beside the refusal that it answers.
pub(crate) async fn note_decision(
    tx: &mut PgConnection,
    (order, refund): (OrderId, RefundId),
    choice: Choice,
    by: UserId,
    note: &str,
) -> Result<()> {
    sqlx::query!(
        "insert into refund_decisions (order_id, refund_id, decision, decided_by, note, refusal)
         select order_id, refund_id, $3, $4, $5, coalesce(refusal, '') from refunds
         where order_id = $1 and refund_id = $2",
        order.uuid(),
        refund.code(),
        choice.code(),
        by.uuid(),
        note
    )
    .execute(tx)
    .await?;
    Ok(())
}
