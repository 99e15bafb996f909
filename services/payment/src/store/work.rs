//! The work queue in the table of payments: the worker claims rows under a lease, and writes the results of its calls.

use std::time::Duration;

use kernel::{Money, OrderId};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Result, Row, decode, money};
use crate::domain::payment::State;
use crate::domain::{CardToken, Payment, RefundId};

/// A lease: its holder, and how long no other process calls the provider.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub holder: Uuid,
    pub seconds: f64,
}

/// A payment that the provider is to decide on.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub order: OrderId,
    pub state: State,
    pub amount: Money,
    /// `None`: it is not kept any more, so the payment can only be voided.
    pub card: Option<CardToken>,
    /// From here on no capture is sent; none when the order did not say.
    pub pay_by: Option<Instant>,
    pub attempts: i32,
    pub traceparent: Option<String>,
}

struct OpenRow {
    order_id: Uuid,
    state: String,
    currency: Option<String>,
    amount_minor: Option<i64>,
    card_token: Option<String>,
    seconds_left: Option<f64>,
    attempts: i32,
    traceparent: Option<String>,
}

impl OpenRow {
    /// What is left of its time counts from before it was asked for, so that it is never more than
    /// the database meant.
    fn open(self, asked_at: Instant) -> Result<Open> {
        let left = self.seconds_left.map(|seconds| Duration::from_secs_f64(seconds.max(0.0)));
        let currency = self.currency.ok_or_else(|| decode("payments.currency"))?;
        let minor = self.amount_minor.ok_or_else(|| decode("payments.amount_minor"))?;
        Ok(Open {
            order: self.order_id.into(),
            state: State::parse(&self.state).ok_or_else(|| decode("payments.state"))?,
            amount: money(&currency, minor)?,
            card: self.card_token.as_deref().and_then(CardToken::parse),
            pay_by: left.map(|left| asked_at + left),
            attempts: self.attempts,
            traceparent: self.traceparent,
        })
    }
}

/// Reads payments that this process has written and leased, as they stand now.
pub(crate) async fn handed(
    connection: &mut PgConnection,
    orders: &[OrderId],
    holder: Uuid,
) -> Result<Vec<Open>> {
    let asked_at = Instant::now();
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    sqlx::query_as!(
        OpenRow,
        r#"select p.order_id, p.state, p.currency, p.amount_minor, m.card_token as "card_token?",
               extract(epoch from p.pay_by - now())::float8 as seconds_left, p.attempts,
               p.traceparent
           from payments p left join payment_methods m using (payment_method_id)
           where p.order_id = any($1) and p.state in ('pending', 'cancelling')
               and p.leased_by = $2"#,
        &ids,
        holder
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| row.open(asked_at))
    .collect()
}

/// Leases up to `limit` payments that were never leased and whose pay-by has not passed, in the order in which they
/// came. This commit waits for the disk (fsync): if a crash lost the lease, a cancellation would believe that nothing
/// was charged.
pub(crate) async fn claim_waiting(
    connection: &mut PgConnection,
    lease: Lease,
    limit: i64,
) -> Result<Vec<Open>> {
    let asked_at = Instant::now();
    sqlx::query_as!(
        OpenRow,
        r#"with claimed as (
               update payments p set leased_by = $1, leased_until = now() + make_interval(secs => $2)
               from (
                   select order_id from payments
                   where state = 'pending' and leased_until = '-infinity'
                       and (pay_by is null or pay_by > now())
                   order by heard_at limit $3 for update skip locked
               ) next
               where p.order_id = next.order_id
               returning p.*
           )
           select p.order_id, p.state, p.currency, p.amount_minor, m.card_token as "card_token?",
               extract(epoch from p.pay_by - now())::float8 as seconds_left, p.attempts,
               p.traceparent
           from claimed p left join payment_methods m using (payment_method_id)
           order by p.heard_at"#,
        lease.holder,
        lease.seconds,
        limit
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| row.open(asked_at))
    .collect()
}

/// A payment whose pay-by has passed without a call, and its trace.
pub(crate) struct Missed {
    pub payment: Payment,
    pub traceparent: Option<String>,
}

/// Locks up to `limit` payments that wait although their pay-by has passed.
pub(crate) async fn lock_missed(tx: &mut PgConnection, limit: i64) -> Result<Vec<Missed>> {
    let rows = sqlx::query!(
        r#"select order_id, state, user_id, payment_method_id, currency, amount_minor, traceparent
           from payments
           where state = 'pending' and leased_until = '-infinity' and pay_by <= now()
           order by heard_at limit $1 for update skip locked"#,
        limit
    )
    .fetch_all(tx)
    .await?;
    let missed = rows.into_iter().map(|row| {
        let payment = Row {
            order_id: row.order_id,
            state: row.state,
            user_id: row.user_id,
            payment_method_id: row.payment_method_id,
            currency: row.currency,
            amount_minor: row.amount_minor,
            called: false,
        };
        Ok(Missed { payment: payment.payment()?, traceparent: row.traceparent })
    });
    missed.collect()
}

/// Leases up to `limit` open payments that were leased before and are due. Their next holder asks the provider by key
/// first, so a lease that a crash of the database loses does no harm, and the commit does not wait for the disk
/// (`synchronous_commit` off).
pub(crate) async fn claim(
    connection: &mut PgConnection,
    lease: Lease,
    limit: i64,
) -> Result<Vec<Open>> {
    let asked_at = Instant::now();
    sqlx::query_as!(
        OpenRow,
        r#"with claimed as (
               update payments p set leased_by = $1, leased_until = now() + make_interval(secs => $2)
               from (
                   select order_id from payments
                   where state in ('pending', 'cancelling') and leased_until <= now()
                       and leased_until > '-infinity'
                   order by leased_until limit $3 for update skip locked
               ) due
               where p.order_id = due.order_id
               returning p.*, set_config('synchronous_commit', 'off', true)
           )
           select p.order_id, p.state, p.currency, p.amount_minor, m.card_token as "card_token?",
               extract(epoch from p.pay_by - now())::float8 as seconds_left, p.attempts,
               p.traceparent
           from claimed p left join payment_methods m using (payment_method_id)"#,
        lease.holder,
        lease.seconds,
        limit
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| row.open(asked_at))
    .collect()
}

/// Renews the lease of a payment, or of a refund of it, while it is still this holder's. The commit does not
/// wait for the disk.
pub(crate) async fn renew(
    connection: &mut PgConnection,
    lease: Lease,
    order: OrderId,
    refund: Option<RefundId>,
) -> Result<()> {
    sqlx::query!(
        "with payment as (
             update payments set leased_until = now() + make_interval(secs => $4)
             where order_id = $1 and $2::text is null and leased_by = $3
                 and state in ('pending', 'cancelling')
         ), refund as (
             update refunds set leased_until = now() + make_interval(secs => $4)
             where order_id = $1 and refund_id = $2 and leased_by = $3 and refunded_at is null
         )
         select set_config('synchronous_commit', 'off', true)",
        order.uuid(),
        refund.map(RefundId::code),
        lease.holder,
        lease.seconds
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Releases all leases of this process, so that other copies can take the work over.
pub(crate) async fn release(connection: &mut PgConnection, holder: Uuid) -> Result<()> {
    sqlx::query!(
        "with payments as (
             update payments set leased_by = null, leased_until = now()
             where state in ('pending', 'cancelling') and leased_by = $1
         )
         update refunds set leased_by = null, leased_until = now()
         where refunded_at is null and leased_by = $1",
        holder
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The result of a call for a payment: its new state, and when it is due again if it is open.
pub(crate) struct Called {
    pub order: OrderId,
    pub state: State,
    pub capture_id: Option<String>,
    pub decline_reason: Option<String>,
    pub attempts: i32,
    pub pause_seconds: f64,
    /// How long ago the capture was sent, if one was.
    pub sent_seconds_ago: Option<f64>,
}

/// One row of the ledger.
pub(crate) struct Transfer {
    pub id: String,
    pub order: OrderId,
    pub debit: &'static str,
    pub credit: &'static str,
    pub amount: Money,
}

/// Writes what calls decided and books the money that moved, in one statement. Pauses have jitter, so that
/// payments which failed together are not tried again together (thundering herd).
#[expect(clippy::too_many_lines, reason = "one statement, and its columns")]
pub(crate) async fn record(
    tx: &mut PgConnection,
    called: &[Called],
    transfers: &[Transfer],
) -> Result<()> {
    let orders: Vec<Uuid> = called.iter().map(|c| c.order.uuid()).collect();
    let states: Vec<&str> = called.iter().map(|c| c.state.code()).collect();
    let captures: Vec<Option<&str>> = called.iter().map(|c| c.capture_id.as_deref()).collect();
    let reasons: Vec<Option<&str>> = called.iter().map(|c| c.decline_reason.as_deref()).collect();
    let attempts: Vec<i32> = called.iter().map(|c| c.attempts).collect();
    let pauses: Vec<f64> = called.iter().map(|c| c.pause_seconds).collect();
    let sent: Vec<Option<f64>> = called.iter().map(|c| c.sent_seconds_ago).collect();
    let ids: Vec<&str> = transfers.iter().map(|t| &*t.id).collect();
    let paid: Vec<Uuid> = transfers.iter().map(|t| t.order.uuid()).collect();
    let debits: Vec<&str> = transfers.iter().map(|t| t.debit).collect();
    let credits: Vec<&str> = transfers.iter().map(|t| t.credit).collect();
    let currencies: Vec<&str> = transfers.iter().map(|t| t.amount.currency.code()).collect();
    let amounts: Vec<i64> = transfers.iter().map(|t| t.amount.minor).collect();
    sqlx::query!(
        "with called as (
             update payments p set
                 state = c.state,
                 capture_id = coalesce(p.capture_id, c.capture_id),
                 decline_reason = coalesce(c.decline_reason, p.decline_reason),
                 attempts = c.attempts,
                 called_at = coalesce(now() - make_interval(secs => c.sent_ago), p.called_at),
                 leased_by = null,
                 leased_until = now() + make_interval(secs => c.pause * (1 + random() / 2)),
                 heard_at = now()
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[],
                 $7::float8[])
                 c(order_id, state, capture_id, decline_reason, attempts, pause, sent_ago)
             where p.order_id = c.order_id
         )
         insert into ledger (transfer_id, order_id, debit_account, credit_account, currency,
             amount_minor)
         select * from unnest($8::text[], $9::uuid[], $10::text[], $11::text[], $12::text[],
             $13::bigint[])",
        &orders,
        &states as &[&str],
        &captures as &[Option<&str>],
        &reasons as &[Option<&str>],
        &attempts,
        &pauses,
        &sent as &[Option<f64>],
        &ids as &[&str],
        &paid,
        &debits as &[&str],
        &credits as &[&str],
        &currencies as &[&str],
        &amounts
    )
    .execute(tx)
    .await?;
    Ok(())
}
