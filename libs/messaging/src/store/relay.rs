//! What a relay does in the database: its lease, what is to be published, and the checkpoint.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Result;
use crate::model::{Acknowledged, Checkpoint, Stored};

/// Takes or renews the lease on relaying, by the database's clock; with `take_over` even from
/// another. False: another holds it.
pub(crate) async fn hold_lease(
    connection: &mut PgConnection,
    holder: Uuid,
    seconds: f64,
    take_over: bool,
) -> Result<bool> {
    let held = sqlx::query!(
        "update messaging.relay set holder = $1, held_until = now() + make_interval(secs => $2)
         where holder = $1 or held_until < now() or $3",
        holder,
        seconds,
        take_over
    )
    .execute(connection)
    .await?;
    Ok(held.rows_affected() == 1)
}

/// Lets another copy relay at once.
pub(crate) async fn drop_lease(connection: &mut PgConnection, holder: Uuid) -> Result<()> {
    sqlx::query!("update messaging.relay set held_until = '-infinity' where holder = $1", holder)
        .execute(connection)
        .await?;
    Ok(())
}

/// What is not published yet, from the low-water mark on.
pub(crate) async fn unpublished(
    connection: &mut PgConnection,
    low_water: i64,
    limit: i64,
) -> Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"select position, event_id, aggregate_id, type as kind, subject, occurred_at,
               traceparent, payload
           from messaging.outbox
           where published_at is null and position >= $1
           order by position limit $2"#,
        low_water,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Marks what the stream acknowledged, and remembers the last of it. The commit does not wait for the disk: a mark that
/// is lost in a crash only means that the event is sent again. False, and nothing is marked: another
/// holds the lease by now. It may have seen that the stream has lost what it acknowledged to us.
pub(crate) async fn mark_published(
    connection: &mut PgConnection,
    holder: Uuid,
    acks: &[Acknowledged],
) -> Result<bool> {
    let Some(last) = acks.iter().max_by_key(|ack| ack.sequence) else { return Ok(true) };
    let positions: Vec<i64> = acks.iter().map(|ack| ack.position).collect();
    let sequences: Vec<i64> = acks.iter().map(|ack| ack.sequence).collect();
    let times = acks.iter().map(|ack| ack.occurred_at);
    sqlx::query_scalar!(
        r#"with mine as (
             update messaging.relay set last_sequence = greatest(last_sequence, $5),
                 last_event_id = case when last_sequence < $5 then $6 else last_event_id end
             where holder = $7 returning holder
         ), marked as (
             update messaging.outbox o set published_at = now(), stream_sequence = a.sequence
             from mine, unnest($1::bigint[], $2::bigint[]) a(position, sequence)
             where o.position = a.position and o.published_at is null
                 and o.position = any($1) -- by the index, however much waits
                 and o.occurred_at between $3 and $4 -- leaves out the other days
         )
         select exists (select from mine) as "held!"
         from set_config('synchronous_commit', 'off', true)"#,
        &positions,
        &sequences,
        times.clone().min(),
        times.max(),
        last.sequence,
        last.event_id,
        holder,
    )
    .fetch_one(connection)
    .await
}

/// The checkpoint of this outbox.
pub(crate) async fn checkpoint(connection: &mut PgConnection) -> Result<Checkpoint> {
    let row =
        sqlx::query!("select stream_created, last_sequence, last_event_id from messaging.relay")
            .fetch_one(connection)
            .await?;
    let last = row.last_event_id.map(|id| (row.last_sequence, id));
    Ok(Checkpoint { stream: row.stream_created, last })
}

/// The highest published event at or below this stream sequence.
pub(crate) async fn published_below(
    connection: &mut PgConnection,
    sequence: i64,
) -> Result<Option<(i64, Uuid)>> {
    let row = sqlx::query!(
        r#"select stream_sequence as "sequence!", event_id from messaging.outbox
           where stream_sequence <= $1 order by stream_sequence desc limit 1"#,
        sequence
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.sequence, row.event_id)))
}

/// Makes what is above a sequence unpublished again, the latest first and about so many events, none when
/// nothing is left. (As one range of the index: joined with a list of rows it reads the whole outbox.)
pub(crate) async fn send_again_above(
    connection: &mut PgConnection,
    sequence: i64,
    about: i64,
) -> Result<u64> {
    let again = sqlx::query!(
        "update messaging.outbox set published_at = null, stream_sequence = null
         where stream_sequence >= (
             select min(stream_sequence) from (
                 select stream_sequence from messaging.outbox
                 where stream_sequence > $1 order by stream_sequence desc limit $2
             ) part
         )",
        sequence,
        about
    )
    .execute(connection)
    .await?;
    Ok(again.rows_affected())
}

/// From now on this is the stream, and this is the last message that it acknowledged. False, and nothing
/// changes: another holds the lease by now.
pub(crate) async fn save_checkpoint(
    connection: &mut PgConnection,
    holder: Uuid,
    stream: OffsetDateTime,
    last: Option<(i64, Uuid)>,
) -> Result<bool> {
    let held = sqlx::query!(
        "update messaging.relay set stream_created = $1, last_sequence = $2, last_event_id = $3
         where holder = $4",
        stream,
        last.map_or(0, |(sequence, _)| sequence),
        last.map(|(_, event)| event),
        holder,
    )
    .execute(connection)
    .await?;
    Ok(held.rows_affected() == 1)
}

/// Whether the last event below this stream sequence was published less than so many seconds ago.
pub(crate) async fn is_young_below(
    connection: &mut PgConnection,
    sequence: i64,
    seconds: f64,
) -> Result<bool> {
    let young = sqlx::query_scalar!(
        r#"select published_at > now() - make_interval(secs => $2) as "young!"
           from messaging.outbox
           where stream_sequence < $1 order by stream_sequence desc limit 1"#,
        sequence,
        seconds
    )
    .fetch_optional(connection)
    .await?;
    Ok(young.unwrap_or(false))
}

/// Makes what was written since then unpublished again. Answers how many events that is. All or none, and
/// for so many that takes longer than a statement of a service may.
pub(crate) async fn send_again_since(tx: &mut PgConnection, since: OffsetDateTime) -> Result<u64> {
    sqlx::query!("select set_config('statement_timeout', '0', true)").fetch_one(&mut *tx).await?;
    let again = sqlx::query!(
        "update messaging.outbox set published_at = null, stream_sequence = null
         where occurred_at >= $1 and published_at is not null",
        since
    )
    .execute(tx)
    .await?;
    Ok(again.rows_affected())
}
