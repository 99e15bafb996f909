//! Every SQL statement of the payment context.

use std::collections::{BTreeMap, HashSet};

use kernel::{Currency, Money, OrderId, PaymentMethodId, Shard, UserId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::payment::{Payment, Refund, RefundId, State, Wish};
use crate::domain::{CardToken, Label};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Payments live in one database.
pub(crate) const HOME: Shard = Shard(0);

fn decode(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(what.to_owned().into())
}

fn money(currency: &str, minor: i64) -> Result<Money> {
    let currency = Currency::parse(currency).map_err(|_| decode("currency"))?;
    Ok(Money { currency, minor })
}

/// A payment method as its owner sees it.
pub(crate) struct Method {
    pub id: PaymentMethodId,
    pub label: String,
}

/// Keeps a card, or renames it when the user has it already. `None`: the user has too many.
pub(crate) async fn add_method(
    pool: &PgPool,
    user: UserId,
    card: &CardToken,
    label: &Label,
    at_most: i64,
) -> Result<Option<PaymentMethodId>> {
    let id = sqlx::query_scalar!(
        "insert into payment_methods (payment_method_id, user_id, card_token, label)
         select $1, $2, $3, $4
         where (select count(*) from payment_methods where user_id = $2 and card_token <> $3) < $5
         on conflict on constraint payment_methods_once do update set label = excluded.label
         returning payment_method_id",
        PaymentMethodId::mint_on(user.shard()).uuid(),
        user.uuid(),
        card.expose(),
        label.text(),
        at_most
    )
    .fetch_optional(pool)
    .await?;
    Ok(id.map(PaymentMethodId::from))
}

/// The user's cards, newest first.
pub(crate) async fn methods(pool: &PgPool, user: UserId) -> Result<Vec<Method>> {
    let rows = sqlx::query!(
        "select payment_method_id, label from payment_methods
         where user_id = $1 order by created_at desc, payment_method_id",
        user.uuid()
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Method { id: row.payment_method_id.into(), label: row.label })
        .collect())
}

/// Which of these are cards of the user beside them.
pub(crate) async fn owned(
    tx: &mut PgConnection,
    wishes: &[Wish],
) -> Result<HashSet<(PaymentMethodId, UserId)>> {
    if wishes.is_empty() {
        return Ok(HashSet::new());
    }
    let methods: Vec<Uuid> = wishes.iter().map(|wish| wish.method.uuid()).collect();
    let rows = sqlx::query!(
        "select payment_method_id, user_id from payment_methods
         where payment_method_id = any($1)",
        &methods
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.payment_method_id.into(), row.user_id.into())).collect())
}

struct Row {
    order_id: Uuid,
    state: String,
    user_id: Option<Uuid>,
    payment_method_id: Option<Uuid>,
    currency: Option<String>,
    amount_minor: Option<i64>,
}

impl Row {
    /// The payment without its refunds. An error is a row that no version of this code wrote.
    fn payment(self) -> Result<Payment> {
        let wish = match (self.user_id, self.payment_method_id, self.currency, self.amount_minor) {
            (Some(user), Some(method), Some(currency), Some(minor)) => Some(Wish {
                user: user.into(),
                method: method.into(),
                amount: money(&currency, minor)?,
            }),
            _ => None,
        };
        Ok(Payment {
            order: self.order_id.into(),
            state: State::parse(&self.state).ok_or_else(|| decode("payments.state"))?,
            wish,
            refunds: Vec::new(),
        })
    }
}

/// Payments by their order.
pub(crate) type Payments = BTreeMap<OrderId, Payment>;

/// Locks the payments that exist among these, in id order, without their refunds.
pub(crate) async fn lock(tx: &mut PgConnection, orders: &[OrderId]) -> Result<Payments> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        "select order_id, state, user_id, payment_method_id, currency, amount_minor
         from payments where order_id = any($1) order by order_id for update",
        &ids
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(|row| row.payment().map(|payment| (payment.order, payment))).collect()
}

/// Reads the refunds of payments that are locked.
pub(crate) async fn load_refunds(tx: &mut PgConnection, payments: &mut Payments) -> Result<()> {
    let ids: Vec<Uuid> = payments.keys().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select order_id, refund_id, currency, amount_minor, refunded_at is not null as "done!"
           from refunds where order_id = any($1)"#,
        &ids
    )
    .fetch_all(tx)
    .await?;
    for row in rows {
        let refund = Refund {
            id: RefundId::parse(&row.refund_id).ok_or_else(|| decode("refunds.refund_id"))?,
            amount: money(&row.currency, row.amount_minor)?,
            done: row.done,
        };
        if let Some(payment) = payments.get_mut(&OrderId::from(row.order_id)) {
            payment.refunds.push(refund);
        }
    }
    Ok(())
}

/// One payment with its refunds, if it exists.
pub(crate) async fn payment(pool: &PgPool, order: OrderId) -> Result<Option<Payment>> {
    let mut connection = pool.acquire().await?;
    let row = sqlx::query_as!(
        Row,
        "select order_id, state, user_id, payment_method_id, currency, amount_minor
         from payments where order_id = $1",
        order.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut payments = Payments::from([(order, row.payment()?)]);
    load_refunds(&mut connection, &mut payments).await?;
    Ok(payments.remove(&order))
}

/// What a batch of events made of a payment.
pub(crate) struct Heard<'a> {
    pub payment: &'a Payment,
    pub decline_reason: Option<String>,
    /// Of the event that asked for the money.
    pub traceparent: Option<String>,
}

/// Who asks the provider, and until when nobody else does.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub holder: Uuid,
    pub seconds: f64,
}

/// The columns of [`Heard`].
#[derive(Default)]
struct HeardColumns<'a> {
    orders: Vec<Uuid>,
    states: Vec<&'a str>,
    users: Vec<Option<Uuid>>,
    methods: Vec<Option<Uuid>>,
    currencies: Vec<Option<&'a str>>,
    amounts: Vec<Option<i64>>,
    reasons: Vec<Option<&'a str>>,
    traces: Vec<Option<&'a str>>,
}

impl<'a> HeardColumns<'a> {
    fn of(rows: &'a [Heard<'a>]) -> Self {
        let mut columns = Self::default();
        for Heard { payment, decline_reason, traceparent } in rows {
            let wish = payment.wish.as_ref();
            columns.orders.push(payment.order.uuid());
            columns.states.push(payment.state.code());
            columns.users.push(wish.map(|wish| wish.user.uuid()));
            columns.methods.push(wish.map(|wish| wish.method.uuid()));
            columns.currencies.push(wish.map(|wish| wish.amount.currency.code()));
            columns.amounts.push(wish.map(|wish| wish.amount.minor));
            columns.reasons.push(decline_reason.as_deref());
            columns.traces.push(traceparent.as_deref());
        }
        columns
    }
}

/// Writes payments that are new; pending ones are born leased. Answers how many were: fewer than
/// all when another copy has written some in this very moment.
pub(crate) async fn insert(tx: &mut PgConnection, rows: &[Heard<'_>], lease: Lease) -> Result<u64> {
    let columns = HeardColumns::of(rows);
    let written = sqlx::query!(
        "insert into payments (order_id, state, user_id, payment_method_id, currency,
             amount_minor, decline_reason, traceparent, leased_by, leased_until)
         select n.order_id, n.state, n.user_id, n.payment_method_id, n.currency, n.amount_minor,
             n.decline_reason, n.traceparent,
             case when n.state = 'pending' then $9::uuid end,
             case when n.state = 'pending' then now() + make_interval(secs => $10)
                 else now() end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[],
             $7::text[], $8::text[])
             n(order_id, state, user_id, payment_method_id, currency, amount_minor,
                 decline_reason, traceparent)
         on conflict do nothing",
        &columns.orders,
        &columns.states as &[&str],
        &columns.users as &[Option<Uuid>],
        &columns.methods as &[Option<Uuid>],
        &columns.currencies as &[Option<&str>],
        &columns.amounts as &[Option<i64>],
        &columns.reasons as &[Option<&str>],
        &columns.traces as &[Option<&str>],
        lease.holder,
        lease.seconds
    )
    .execute(tx)
    .await?;
    Ok(written.rows_affected())
}

/// Writes what became of locked payments. Whoever is asking the provider now goes on; what
/// nobody works at is due at once.
pub(crate) async fn update(tx: &mut PgConnection, rows: &[Heard<'_>]) -> Result<()> {
    let columns = HeardColumns::of(rows);
    sqlx::query!(
        "update payments p set
             state = n.state,
             user_id = n.user_id,
             payment_method_id = n.payment_method_id,
             currency = n.currency,
             amount_minor = n.amount_minor,
             decline_reason = coalesce(n.decline_reason, p.decline_reason),
             traceparent = coalesce(n.traceparent, p.traceparent),
             attempts = 0,
             leased_until = case when p.leased_by is null then now() else p.leased_until end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[],
             $7::text[], $8::text[])
             n(order_id, state, user_id, payment_method_id, currency, amount_minor,
                 decline_reason, traceparent)
         where p.order_id = n.order_id",
        &columns.orders,
        &columns.states as &[&str],
        &columns.users as &[Option<Uuid>],
        &columns.methods as &[Option<Uuid>],
        &columns.currencies as &[Option<&str>],
        &columns.amounts as &[Option<i64>],
        &columns.reasons as &[Option<&str>],
        &columns.traces as &[Option<&str>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

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

/// A payment that the provider is to decide on.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub order: OrderId,
    pub state: State,
    pub amount: Money,
    /// `None`: it is not kept any more, so the payment can only be voided.
    pub card: Option<CardToken>,
    pub attempts: i32,
    pub traceparent: Option<String>,
}

struct OpenRow {
    order_id: Uuid,
    state: String,
    currency: Option<String>,
    amount_minor: Option<i64>,
    card_token: Option<String>,
    attempts: i32,
    traceparent: Option<String>,
}

impl OpenRow {
    fn open(self) -> Result<Open> {
        let currency = self.currency.ok_or_else(|| decode("payments.currency"))?;
        let minor = self.amount_minor.ok_or_else(|| decode("payments.amount_minor"))?;
        Ok(Open {
            order: self.order_id.into(),
            state: State::parse(&self.state).ok_or_else(|| decode("payments.state"))?,
            amount: money(&currency, minor)?,
            card: self.card_token.as_deref().and_then(CardToken::parse),
            attempts: self.attempts,
            traceparent: self.traceparent,
        })
    }
}

/// Reads payments that this process has just written and leased, as they stand now.
pub(crate) async fn handed(pool: &PgPool, orders: &[OrderId], holder: Uuid) -> Result<Vec<Open>> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    sqlx::query_as!(
        OpenRow,
        r#"select p.order_id, p.state, p.currency, p.amount_minor, m.card_token as "card_token?",
               p.attempts, p.traceparent
           from payments p left join payment_methods m using (payment_method_id)
           where p.order_id = any($1) and p.state in ('pending', 'cancelling')
               and p.leased_by = $2 and p.leased_until > now()"#,
        &ids,
        holder
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(OpenRow::open)
    .collect()
}

/// Leases up to `limit` open payments that are due and that nobody works at. A lease that a
/// crash of the database takes back costs nothing, so the commit does not wait for the disk.
pub(crate) async fn claim(pool: &PgPool, lease: Lease, limit: i64) -> Result<Vec<Open>> {
    sqlx::query_as!(
        OpenRow,
        r#"with claimed as (
               update payments p set leased_by = $1, leased_until = now() + make_interval(secs => $2)
               from (
                   select order_id from payments
                   where state in ('pending', 'cancelling') and leased_until <= now()
                   order by leased_until limit $3 for update skip locked
               ) due
               where p.order_id = due.order_id
               returning p.*, set_config('synchronous_commit', 'off', true)
           )
           select p.order_id, p.state, p.currency, p.amount_minor, m.card_token as "card_token?",
               p.attempts, p.traceparent
           from claimed p left join payment_methods m using (payment_method_id)"#,
        lease.holder,
        lease.seconds,
        limit
    )
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(OpenRow::open)
    .collect()
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
pub(crate) async fn claim_refunds(pool: &PgPool, lease: Lease, limit: i64) -> Result<Vec<Owed>> {
    sqlx::query_as!(
        OwedRow,
        r#"with claimed as (
               update refunds r set leased_by = $1, leased_until = now() + make_interval(secs => $2)
               from (
                   select r.order_id, r.refund_id, p.capture_id
                   from refunds r join payments p using (order_id)
                   where r.refunded_at is null and r.leased_until <= now()
                       and p.capture_id is not null
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
    .fetch_all(pool)
    .await?
    .into_iter()
    .map(OwedRow::owed)
    .collect()
}

/// Lets other copies go on with what this one has leased.
pub(crate) async fn release(pool: &PgPool, holder: Uuid) -> Result<()> {
    sqlx::query!(
        "with payments as (
             update payments set leased_by = null, leased_until = now()
             where state in ('pending', 'cancelling') and leased_by = $1
         )
         update refunds set leased_by = null, leased_until = now()
         where refunded_at is null and leased_by = $1",
        holder
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What a call left of a payment: where it stands now, and when it is due again if it is open.
pub(crate) struct Called {
    pub order: OrderId,
    pub state: State,
    pub capture_id: Option<String>,
    pub decline_reason: Option<String>,
    pub attempts: i32,
    pub pause_seconds: f64,
}

/// One row of the ledger.
pub(crate) struct Transfer {
    pub id: String,
    pub order: OrderId,
    pub debit: &'static str,
    pub credit: &'static str,
    pub amount: Money,
}

/// Writes what calls decided and books the money that moved, in one statement. Pauses are
/// stretched at random, so that what failed together comes back apart.
pub(crate) async fn settle(
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
                 leased_by = null,
                 leased_until = now() + make_interval(secs => c.pause * (1 + random() / 2)),
                 heard_at = now()
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::float8[])
                 c(order_id, state, capture_id, decline_reason, attempts, pause)
             where p.order_id = c.order_id
         )
         insert into ledger (transfer_id, order_id, debit_account, credit_account, currency,
             amount_minor)
         select * from unnest($7::text[], $8::uuid[], $9::text[], $10::text[], $11::text[],
             $12::bigint[])",
        &orders,
        &states as &[&str],
        &captures as &[Option<&str>],
        &reasons as &[Option<&str>],
        &attempts,
        &pauses,
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

/// What a call left of a refund.
pub(crate) struct Repaid {
    pub order: OrderId,
    pub refund: RefundId,
    /// The provider's, once it is done.
    pub transfer_id: Option<String>,
    pub attempts: i32,
    pub pause_seconds: f64,
}

/// Writes what calls made of refunds.
pub(crate) async fn settle_refunds(tx: &mut PgConnection, repaid: &[Repaid]) -> Result<()> {
    let orders: Vec<Uuid> = repaid.iter().map(|r| r.order.uuid()).collect();
    let ids: Vec<String> = repaid.iter().map(|r| r.refund.code()).collect();
    let transfers: Vec<Option<&str>> = repaid.iter().map(|r| r.transfer_id.as_deref()).collect();
    let attempts: Vec<i32> = repaid.iter().map(|r| r.attempts).collect();
    let pauses: Vec<f64> = repaid.iter().map(|r| r.pause_seconds).collect();
    sqlx::query!(
        "update refunds r set
             transfer_id = c.transfer_id,
             refunded_at = case when c.transfer_id is not null then now() end,
             attempts = c.attempts,
             leased_by = null,
             leased_until = now() + make_interval(secs => c.pause * (1 + random() / 2))
         from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::float8[])
             c(order_id, refund_id, transfer_id, attempts, pause)
         where r.order_id = c.order_id and r.refund_id = c.refund_id and r.refunded_at is null",
        &orders,
        &ids,
        &transfers as &[Option<&str>],
        &attempts,
        &pauses
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes what waits for its next try due now, unless this notice did so before. Answers whether
/// anything waited: usually the answer was here before the notice, and nothing is written.
pub(crate) async fn hint(pool: &PgPool, webhook: &str, order: OrderId) -> Result<bool> {
    sqlx::query_scalar!(
        r#"with payment as (
               update payments set leased_until = now()
               where order_id = $2 and state in ('pending', 'cancelling') and leased_by is null
                   and leased_until > now()
                   and not exists (select from webhooks where webhook_id = $1)
               returning 1
           ), refund as (
               update refunds set leased_until = now()
               where order_id = $2 and refunded_at is null and leased_by is null
                   and leased_until > now()
                   and not exists (select from webhooks where webhook_id = $1)
               returning 1
           ), noted as (
               insert into webhooks (webhook_id)
               select $1 where exists (select from payment) or exists (select from refund)
               on conflict do nothing returning 1
           )
           select exists (select from noted) as "hinted!""#,
        webhook,
        order.uuid()
    )
    .fetch_one(pool)
    .await
}

/// Forgets old notices; what they could hint at is long decided.
pub(crate) async fn forget_old_webhooks(pool: &PgPool) -> Result<()> {
    sqlx::query!("delete from webhooks where received_at < now() - interval '7 days'")
        .execute(pool)
        .await?;
    Ok(())
}

/// How many payments and refunds wait for the provider.
pub(crate) async fn waiting(pool: &PgPool) -> Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select (select count(*) from payments where state in ('pending', 'cancelling'))
                   as "payments!",
               (select count(*) from refunds where refunded_at is null) as "refunds!""#
    )
    .fetch_one(pool)
    .await?;
    Ok((row.payments, row.refunds))
}
