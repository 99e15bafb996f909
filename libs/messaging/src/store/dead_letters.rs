//! Failures, and what was given up on.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Result, claim};
use crate::model::{DeadLetter, Delivered};

/// PostgreSQL's text has no NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Counts a try that failed. Answers how many there were.
pub(crate) async fn count_failure(
    connection: &mut PgConnection,
    consumer: &str,
    event: &Delivered,
    error: &str,
) -> Result<i32> {
    sqlx::query_scalar!(
        "insert into messaging.failures as f (shard, consumer, event_id, tries, error)
         values ($1, $2, $3, 1, $4)
         on conflict (shard, consumer, event_id)
         do update set tries = f.tries + 1, error = excluded.error
         returning tries",
        event.shard().column(),
        consumer,
        event.event_id,
        storable(error)
    )
    .fetch_one(connection)
    .await
}

/// Gives up on an event: its dead letter and its inbox row are one outcome.
pub(crate) async fn dead_letter(
    connection: &mut PgConnection,
    consumer: &str,
    event: &Delivered,
    tries: i32,
    error: &str,
) -> Result<()> {
    claim(connection, consumer, &[event]).await?;
    sqlx::query!(
        "with cleared as (
             delete from messaging.failures where shard = $1 and consumer = $2 and event_id = $3
         )
         insert into messaging.dead_letters (shard, consumer, event_id, aggregate_id, type,
             subject, occurred_at, traceparent, payload, tries, error)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (shard, consumer, event_id) do update
         set tries = excluded.tries, error = excluded.error, parked_at = now(), redriven_at = null",
        event.shard().column(),
        consumer,
        event.event_id,
        event.aggregate_id,
        storable(&event.kind),
        storable(&event.subject),
        event.occurred_at,
        event.traceparent.as_deref().map(storable),
        &event.payload[..],
        tries,
        storable(error)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Dead letters, the latest first.
pub(crate) async fn dead_letters(
    connection: &mut PgConnection,
    event: Option<Uuid>,
    limit: i64,
) -> Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        "select consumer, event_id, aggregate_id, type as kind, subject, occurred_at, traceparent,
             payload, tries, error, parked_at, redriven_at
         from messaging.dead_letters where $1::uuid is null or event_id = $1
         order by parked_at desc limit $2",
        event,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Marks dead letters of these kinds to be tried again, and takes back that they were dealt with.
pub(crate) async fn redrive(
    connection: &mut PgConnection,
    event: Option<Uuid>,
    kinds: &[&str],
) -> Result<u64> {
    let redriven = sqlx::query_scalar!(
        r#"with redriven as (
             update messaging.dead_letters set redriven_at = now()
             where redriven_at is null and type = any($2) and ($1::uuid is null or event_id = $1)
             returning shard, consumer, event_id, occurred_at
         ), taken_back as (
             delete from messaging.inbox i using redriven r
             where i.consumer = r.consumer and i.event_id = r.event_id
                 and i.occurred_at = r.occurred_at and i.shard = r.shard
         )
         select count(*) as "count!" from redriven"#,
        event,
        kinds as &[&str]
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(redriven).unwrap_or_default())
}

/// What this consumer is to try again, the oldest first: dead letters of the kinds that it wants, and of all known
/// kinds those that became one for this reason. Others are for another build to take.
pub(crate) async fn redriven(
    connection: &mut PgConnection,
    consumer: &str,
    wanted: &[&str],
    (known, parked_for): (&[&str], &str),
    limit: i64,
) -> Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        "select consumer, event_id, aggregate_id, type as kind, subject, occurred_at, traceparent,
             payload, tries, error, parked_at, redriven_at
         from messaging.dead_letters
         where consumer = $1 and redriven_at is not null
             and (type = any($2) or type = any($3) and error = $4)
         order by occurred_at, event_id limit $5",
        consumer,
        wanted as &[&str],
        known as &[&str],
        parked_for,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Forgets dead letters that were dealt with: each an event and when it was told to be tried again. One that was
/// given up on again stays, even if it was told once more since.
pub(crate) async fn forget_redriven(
    connection: &mut PgConnection,
    consumer: &str,
    done: &[(Uuid, Option<OffsetDateTime>)],
) -> Result<()> {
    let (ids, times): (Vec<Uuid>, Vec<Option<OffsetDateTime>>) = done.iter().copied().unzip();
    sqlx::query!(
        "delete from messaging.dead_letters l
         using unnest($2::uuid[], $3::timestamptz[]) d(event_id, redriven_at)
         where l.consumer = $1 and l.event_id = d.event_id and l.redriven_at = d.redriven_at",
        consumer,
        &ids,
        &times as &[Option<OffsetDateTime>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many events are given up on.
pub(crate) async fn dead_lettered(connection: &mut PgConnection) -> Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from messaging.dead_letters where redriven_at is null"#
    )
    .fetch_one(connection)
    .await
}
