//! Every SQL statement of messaging.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Delivered, Outgoing};

mod dead_letters;
mod relay;

pub(crate) use dead_letters::{
    count_failure, dead_letter, dead_lettered, dead_letters, forget_redriven, redrive, redriven,
};
pub(crate) use relay::{
    checkpoint, drop_lease, hold_lease, is_young_below, mark_published, published_below,
    save_checkpoint, send_again_above, send_again_since, unpublished,
};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Events of one transaction, in their order.
pub(crate) async fn append(connection: &mut PgConnection, events: &[Outgoing]) -> Result<()> {
    let shards: Vec<i16> = events.iter().map(|e| e.shard().column()).collect();
    let ids: Vec<Uuid> = events.iter().map(|e| e.event_id.uuid()).collect();
    let aggregates: Vec<Uuid> = events.iter().map(|e| e.aggregate_id).collect();
    let kinds: Vec<&str> = events.iter().map(|e| e.kind).collect();
    let subjects: Vec<&str> = events.iter().map(|e| e.subject).collect();
    let traces: Vec<Option<&str>> = events.iter().map(|e| e.traceparent.as_deref()).collect();
    let payloads: Vec<&[u8]> = events.iter().map(|e| e.payload.as_slice()).collect();
    sqlx::query!(
        "insert into messaging.outbox
             (shard, event_id, aggregate_id, type, subject, traceparent, payload)
         select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
             $6::text[], $7::bytea[])",
        &shards,
        &ids,
        &aggregates,
        &kinds as &[&str],
        &subjects as &[&str],
        &traces as &[Option<&str>],
        &payloads as &[&[u8]],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many events wait, and for how many seconds the oldest has.
pub(crate) async fn depth(connection: &mut PgConnection) -> Result<(i64, f64)> {
    let row = sqlx::query!(
        r#"select count(*) as "count!",
               coalesce(extract(epoch from now() - min(occurred_at)), 0)::float8 as "age!"
           from messaging.outbox where published_at is null"#
    )
    .fetch_one(connection)
    .await?;
    Ok((row.count, row.age))
}

/// Creates the partitions to come and drops the days that are over for so long, and forgets the failures of
/// what has succeeded since.
pub(crate) async fn upkeep(
    connection: &mut PgConnection,
    outbox_days: i32,
    inbox_days: i32,
) -> Result<()> {
    // The day that is just so old is not all so old yet.
    sqlx::query!("select messaging.upkeep($1 + 1, $2)::text", outbox_days, inbox_days)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query!(
        "delete from messaging.failures f where exists (
             select from messaging.inbox i where i.consumer = f.consumer and i.event_id = f.event_id
         )"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Claims the events for this consumer. Answers the ids that were not claimed before. Events
/// come sorted by id, so that two copies with overlapping batches wait instead of deadlocking.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    consumer: &str,
    events: &[&Delivered],
) -> Result<Vec<Uuid>> {
    let shards: Vec<i16> = events.iter().map(|e| e.shard().column()).collect();
    let ids: Vec<Uuid> = events.iter().map(|e| e.event_id).collect();
    let times: Vec<_> = events.iter().map(|e| e.occurred_at).collect();
    sqlx::query_scalar!(
        "insert into messaging.inbox (shard, consumer, event_id, occurred_at)
         select e.shard, $1, e.event_id, e.occurred_at
         from unnest($2::smallint[], $3::uuid[], $4::timestamptz[])
             e(shard, event_id, occurred_at)
         on conflict do nothing returning event_id",
        consumer,
        &shards,
        &ids,
        &times,
    )
    .fetch_all(connection)
    .await
}
