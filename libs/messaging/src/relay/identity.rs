//! Whether a stream is still the one that acknowledged, and what is done when it is not.

use std::time::Duration;

use anyhow::ensure;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use crash::Point;
use futures_util::{FutureExt as _, StreamExt as _};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::One;
use super::room::may_be_trimmed;
use crate::store::{self, Known};

/// A server that was just elected to lead a stream may answer before it shows all that it holds; what is
/// missing for so long is lost.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// The clocks of the bus and of the database are not further apart.
const AN_HOUR: Duration = Duration::from_secs(60 * 60);
/// About so many events one statement makes unpublished again.
const REWIND: i64 = 10_000;

impl One {
    /// Whether this is still the stream that acknowledged, and holds the last message of those. If not,
    /// what came after the last one that it holds is to be sent again, and every consumer starts over.
    pub(super) async fn check_identity(&mut self) -> anyhow::Result<bool> {
        let connection = self.bus.connections();
        self.checked = None; // nothing is sent until this comes to an end
        let missing = self.missing.take(); // whoever cannot be asked may be another one the next time
        let mut stream = self.bus.own_stream(self.context).await?;
        if self.is_purged(&stream).await? {
            // What it has left is sent again as well: it would not take that twice.
            self.bus.delete(&stream).await?;
            stream = self.bus.stream(self.context).await?;
        }
        let Known { stream: before, last } = self.read(|db| store::known(db).boxed()).await?;
        let another = before.is_some_and(|before| before != made(&stream));
        let end = last.filter(|_| !another);
        let whole = match end {
            Some((sequence, id)) => holds(&stream, sequence, id).await?,
            None => !another,
        };
        if !whole {
            let since = missing.unwrap_or_else(Instant::now);
            self.missing = Some(since);
            let waits = !another && self.bus.is_clustered() && since.elapsed() < CATCHING_UP;
            ensure!(!waits, "the stream does not show what it holds: looking again");
            self.fill_again(stream, end).await?;
            self.missing = None;
        } else if before.is_none() {
            self.now_ends_at(&stream, end).await?;
        }
        self.checked = Some(connection);
        Ok(whole)
    }

    /// `end` is what the stream has lost; none: another stream is in its place, and counts as empty.
    ///
    /// In a cluster, servers that remember differently may never agree again, and each delivers what it
    /// has itself (seen with 2.9.10: the leader had all, the consumer's was silent ten messages short of
    /// the end). So what is left of a stream there goes as well, and all is sent again.
    async fn fill_again(
        &mut self,
        mut stream: Stream,
        end: Option<(i64, Uuid)>,
    ) -> anyhow::Result<()> {
        let mut kept = None;
        // First of all: once the rows are rewound nothing is wrong any more, and nobody would do it.
        if end.is_some() && self.bus.is_clustered() {
            self.bus.delete(&stream).await?;
            stream = self.bus.stream(self.context).await?;
        } else {
            if let Some((sequence, _)) = end {
                kept = self.last_match(&stream, sequence).await?;
            }
            recreate_consumers(&stream).await?;
        }
        crash::point(Point::RelayRewinding);
        let above = kept.map_or(0, |(sequence, _)| sequence);
        let again = self.rewind(above).await?;
        // Last: until now whoever comes after a crash sees the same loss, and goes on.
        self.now_ends_at(&stream, kept).await?;
        self.floor = 0;
        tracing::error!(
            context = self.context,
            kept = above,
            again,
            "the stream lost acknowledged messages: sending them again"
        );
        Ok(())
    }

    /// In many statements: an outbox of days is more than one can change in its time.
    async fn rewind(&mut self, kept: i64) -> anyhow::Result<u64> {
        let mut again = 0;
        loop {
            let part = self.write(move |db| store::send_again_above(db, kept, REWIND).boxed());
            let part = part.await?;
            again += part;
            if part == 0 {
                return Ok(again);
            }
            if !self.hold_lease().await? {
                return self.give_way();
            }
        }
    }

    async fn now_ends_at(
        &mut self,
        stream: &Stream,
        last: Option<(i64, Uuid)>,
    ) -> anyhow::Result<()> {
        let (holder, made) = (self.holder, made(stream));
        if !self.write(move |db| store::ends_at(db, holder, made, last).boxed()).await? {
            return self.give_way();
        }
        Ok(())
    }

    /// Binary search for the last of our messages that the stream still holds; none when it holds
    /// nothing of ours. (What a stream lost is always its end; what went out of retention counts as held.)
    async fn last_match(&self, stream: &Stream, lost: i64) -> anyhow::Result<Option<(i64, Uuid)>> {
        let (mut kept, mut lost, mut last) = (0, lost, None);
        while lost - kept > 1 {
            let middle = kept + (lost - kept) / 2;
            match self.read(move |db| store::published_below(db, middle).boxed()).await? {
                Some((sequence, _)) if sequence <= kept => kept = middle,
                Some((sequence, id)) if holds(stream, sequence, id).await? => {
                    (kept, last) = (middle, Some((sequence, id)));
                }
                Some((sequence, _)) => lost = sequence,
                None => kept = middle,
            }
        }
        Ok(last)
    }

    /// Whether somebody removed messages: what is gone from the stream's beginning is too young to have gone
    /// by its age. Where a stream is limited by more than age nothing can be told, nor while it may have been trimmed.
    async fn is_purged(&self, stream: &Stream) -> anyhow::Result<bool> {
        let info = stream.cached_info();
        let (config, first) = (&info.config, info.state.first_sequence);
        let limits = [config.max_messages, config.max_messages_per_subject];
        if first <= 1 || limits.iter().any(|limit| *limit > 0) || may_be_trimmed(info) {
            return Ok(false);
        }
        let age = config.max_age.saturating_sub(AN_HOUR).as_secs_f64();
        let first = i64::try_from(first)?;
        Ok(self.read(move |db| store::is_young_below(db, first, age).boxed()).await?)
    }
}

/// When a stream was made, as exactly as a database keeps it.
fn made(stream: &Stream) -> OffsetDateTime {
    let at = stream.cached_info().created;
    at.replace_microsecond(at.microsecond()).unwrap_or(at)
}

async fn holds(stream: &Stream, sequence: i64, id: Uuid) -> anyhow::Result<bool> {
    let sequence = u64::try_from(sequence)?;
    let message = match stream.get_raw_message(sequence).await {
        Ok(message) => message,
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
            let state = stream.get_info().await?.state;
            return Ok(sequence < state.first_sequence && sequence <= state.last_sequence);
        }
        Err(error) => return Err(error.into()),
    };
    let expected = id.to_string();
    Ok(message.headers.get("Nats-Msg-Id").is_some_and(|id| id.as_str() == expected))
}

/// A consumer's place in a stream that lost its end means nothing. Its owner notices that it
/// is gone and makes it anew, from the beginning; the inbox knows what was seen.
async fn recreate_consumers(stream: &Stream) -> anyhow::Result<()> {
    let mut names = stream.consumer_names();
    while let Some(name) = names.next().await {
        stream.delete_consumer(&name?).await?;
    }
    Ok(())
}
