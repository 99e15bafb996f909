//! Every SQL statement of the payment context.

mod refunds;
mod work;
mod retention;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use kernel::{Currency, Money, OrderId, PaymentMethodId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::payment::State;
use crate::domain::refund::{self, Refund, RefundId};
use crate::domain::{CardToken, Label, Payment, Wish};
use crate::webhook::Notice;

pub(crate) use refunds::{
    Decision, NewRefund, Owed, Page, Repaid, Seen, claim_refunds, insert_refunds, note_decision,
    record_refunds, refunds, retry, settle_by_hand,
};
pub(crate) use work::{
    Called, Lease, Missed, Open, Transfer, claim, claim_waiting, handed, lock_missed, record,
    release, renew,
};

pub(crate) use retention::RETENTION;

type Result<T> = std::result::Result<T, sqlx::Error>;

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
    connection: &mut PgConnection,
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
    .fetch_optional(connection)
    .await?;
    Ok(id.map(PaymentMethodId::from))
}

/// The user's cards, newest first.
pub(crate) async fn methods(connection: &mut PgConnection, user: UserId) -> Result<Vec<Method>> {
    let rows = sqlx::query!(
        "select payment_method_id, label from payment_methods
         where user_id = $1 order by created_at desc, payment_method_id",
        user.uuid()
    )
    .fetch_all(connection)
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
    called: bool,
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
            called: self.called,
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
        r#"select order_id, state, user_id, payment_method_id, currency, amount_minor,
               leased_until > '-infinity' as "called!"
           from payments where order_id = any($1) order by order_id for update"#,
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
        r#"select order_id, refund_id, currency, amount_minor, refused_at is not null as "refused!",
               refunded_at is not null as "ended!", settled_by is not null as "by_hand!"
           from refunds where order_id = any($1)"#,
        &ids
    )
    .fetch_all(tx)
    .await?;
    for row in rows {
        let refund = Refund {
            id: RefundId::parse(&row.refund_id).ok_or_else(|| decode("refunds.refund_id"))?,
            amount: money(&row.currency, row.amount_minor)?,
            state: refund_state(row.refused, row.ended, row.by_hand),
        };
        if let Some(payment) = payments.get_mut(&OrderId::from(row.order_id)) {
            payment.refunds.push(refund);
        }
    }
    Ok(())
}

fn refund_state(refused: bool, ended: bool, by_hand: bool) -> refund::State {
    match (ended, by_hand, refused) {
        (true, true, _) => refund::State::Settled,
        (true, false, _) => refund::State::Refunded,
        (false, _, true) => refund::State::Refused,
        (false, _, false) => refund::State::Owed,
    }
}

/// One payment with its refunds, if it exists.
pub(crate) async fn payment(
    connection: &mut PgConnection,
    order: OrderId,
) -> Result<Option<Payment>> {
    let row = sqlx::query_as!(
        Row,
        r#"select order_id, state, user_id, payment_method_id, currency, amount_minor,
               leased_until > '-infinity' as "called!"
           from payments where order_id = $1"#,
        order.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut payments = Payments::from([(order, row.payment()?)]);
    load_refunds(connection, &mut payments).await?;
    Ok(payments.remove(&order))
}

/// What a batch of events made of a payment.
pub(crate) struct Heard<'a> {
    pub payment: &'a Payment,
    pub decline_reason: Option<String>,
    /// Trace context of the event that asked for the money.
    pub traceparent: Option<String>,
    /// How long a capture may still be sent.
    pub pay_within: Option<Duration>,
    /// Whether this new payment is handed over to the worker of this process.
    pub leased: bool,
}

impl<'a> Heard<'a> {
    /// A payment that no event has changed.
    pub(crate) fn of(payment: &'a Payment) -> Self {
        Self { payment, decline_reason: None, traceparent: None, pay_within: None, leased: false }
    }
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
    seconds: Vec<Option<f64>>,
    leased: Vec<bool>,
}

impl<'a> HeardColumns<'a> {
    fn of(rows: &'a [Heard<'a>]) -> Self {
        let mut columns = Self::default();
        for Heard { payment, decline_reason, traceparent, pay_within, leased } in rows {
            let wish = payment.wish.as_ref();
            columns.orders.push(payment.order.uuid());
            columns.states.push(payment.state.code());
            columns.users.push(wish.map(|wish| wish.user.uuid()));
            columns.methods.push(wish.map(|wish| wish.method.uuid()));
            columns.currencies.push(wish.map(|wish| wish.amount.currency.code()));
            columns.amounts.push(wish.map(|wish| wish.amount.minor));
            columns.reasons.push(decline_reason.as_deref());
            columns.traces.push(traceparent.as_deref());
            columns.seconds.push(pay_within.map(|time| time.as_secs_f64()));
            columns.leased.push(*leased);
        }
        columns
    }
}

/// Inserts new payments: those that were handed over as leased, the others as never leased. Returns how many were
/// inserted: fewer than all when another copy inserts some of them concurrently.
pub(crate) async fn insert(tx: &mut PgConnection, rows: &[Heard<'_>], lease: Lease) -> Result<u64> {
    let columns = HeardColumns::of(rows);
    let written = sqlx::query!(
        "insert into payments (order_id, state, user_id, payment_method_id, currency,
             amount_minor, decline_reason, traceparent, pay_by, leased_by, leased_until)
         select n.order_id, n.state, n.user_id, n.payment_method_id, n.currency, n.amount_minor,
             n.decline_reason, n.traceparent, now() + make_interval(secs => n.pay_within),
             case when n.leased then $11::uuid end,
             case when n.leased then now() + make_interval(secs => $12) else '-infinity' end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[],
             $7::text[], $8::text[], $9::float8[], $10::bool[])
             n(order_id, state, user_id, payment_method_id, currency, amount_minor,
                 decline_reason, traceparent, pay_within, leased)
         on conflict do nothing",
        &columns.orders,
        &columns.states as &[&str],
        &columns.users as &[Option<Uuid>],
        &columns.methods as &[Option<Uuid>],
        &columns.currencies as &[Option<&str>],
        &columns.amounts as &[Option<i64>],
        &columns.reasons as &[Option<&str>],
        &columns.traces as &[Option<&str>],
        &columns.seconds as &[Option<f64>],
        &columns.leased,
        lease.holder,
        lease.seconds
    )
    .execute(tx)
    .await?;
    Ok(written.rows_affected())
}

/// Writes the changes of locked payments. A leased payment keeps its lease. A paused payment becomes due now. A payment
/// that was never leased (`leased_until = '-infinity'`) stays so.
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
             pay_by = coalesce(now() + make_interval(secs => n.pay_within), p.pay_by),
             attempts = 0,
             leased_until = case when p.leased_by is null and p.leased_until > '-infinity'
                 then now() else p.leased_until end
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[],
             $7::text[], $8::text[], $9::float8[])
             n(order_id, state, user_id, payment_method_id, currency, amount_minor,
                 decline_reason, traceparent, pay_within)
         where p.order_id = n.order_id",
        &columns.orders,
        &columns.states as &[&str],
        &columns.users as &[Option<Uuid>],
        &columns.methods as &[Option<Uuid>],
        &columns.currencies as &[Option<&str>],
        &columns.amounts as &[Option<i64>],
        &columns.reasons as &[Option<&str>],
        &columns.traces as &[Option<&str>],
        &columns.seconds as &[Option<f64>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes paused payments and refunds due now, unless these webhooks did so before. Returns whether
/// anything waited: usually the answer was here before the notice, and nothing is written.
pub(crate) async fn make_due_by_webhooks(
    connection: &mut PgConnection,
    notices: &[Notice],
) -> Result<bool> {
    let webhooks: Vec<&str> = notices.iter().map(|notice| &*notice.id).collect();
    let orders: Vec<Uuid> = notices.iter().map(|notice| notice.order.uuid()).collect();
    sqlx::query_scalar!(
        r#"with notices as (
               select * from unnest($1::text[], $2::uuid[]) n(webhook_id, order_id)
               where not exists (select from webhooks w where w.webhook_id = n.webhook_id)
           ), payment as (
               update payments p set leased_until = now() from notices n
               where p.order_id = n.order_id and p.state in ('pending', 'cancelling')
                   and p.leased_by is null and p.leased_until > now()
               returning p.order_id
           ), refund as (
               update refunds r set leased_until = now() from notices n
               where r.order_id = n.order_id and r.refunded_at is null and r.refused_at is null
                   and r.leased_by is null and r.leased_until > now()
               returning r.order_id
           ), noted as (
               insert into webhooks (webhook_id)
               select distinct webhook_id from notices
               where order_id in (select order_id from payment union select order_id from refund)
               on conflict do nothing returning 1
           )
           select exists (select from noted) as "hinted!""#,
        &webhooks as &[&str],
        &orders
    )
    .fetch_one(connection)
    .await
}

/// How many rows wait.
pub(crate) struct Waiting {
    /// Payments that are pending or cancelling.
    pub payments: i64,
    /// Refunds that the provider has not executed.
    pub refunds: i64,
    /// Refused refunds, for which staff must decide.
    pub decisions: i64,
}

/// Counts the rows that wait.
pub(crate) async fn waiting(connection: &mut PgConnection) -> Result<Waiting> {
    sqlx::query_as!(
        Waiting,
        r#"select (select count(*) from payments where state in ('pending', 'cancelling'))
                   as "payments!",
               (select count(*) from refunds where refunded_at is null and refused_at is null)
                   as "refunds!",
               (select count(*) from refunds where refunded_at is null and refused_at is not null)
                   as "decisions!""#
    )
    .fetch_one(connection)
    .await
}
