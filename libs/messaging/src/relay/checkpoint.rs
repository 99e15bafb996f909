//! Whether a stream still contains what it has acknowledged, and what is done when it does not: a stream loss, after
//! which the stream is made equal to the outbox again (resync, reconcile).
//!
//! The checkpoint, in the database, is when the stream was made and the last message that it acknowledged. Each look
//! compares both with the server:
//!
//! | state      | a look finds                                                  | next state                  |
//! |------------|---------------------------------------------------------------|-----------------------------|
//! | any        | the same stream, and it contains the message                   | `Verified`, on this connection |
//! | any        | another stream, or a server alone without the message         | `Lost`                      |
//! | `Missing`  | a cluster does not show the message, for 5 s by now            | `Lost`                      |
//! | `Missing`  | the same, for less                                             | `Missing`                   |
//! | `Lost`     | a cluster does not show the message                            | `Lost`                      |
//! | otherwise  | a cluster does not show the message                            | `Missing`, from now         |
//! | any        | nothing: the server or the database does not answer            | `Unknown`                   |
//!
//! Only `Verified` sends, and only on its connection; `Lost` becomes `Verified` by a resync.

use std::time::Duration;

use anyhow::{bail, ensure};
use async_nats::jetstream::stream::Info;
use crash::Point;
use futures_util::FutureExt as _;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::DatabaseRelay;
use crate::bus::may_be_trimmed;
use crate::codec::MESSAGE_ID;
use crate::model::Checkpoint;
use crate::sink::Sink;
use crate::store;

/// A server that was just elected to lead a stream may answer before it shows all that it holds; what is
/// missing for so long is lost.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// Safety margin: the clocks of the bus and of the database differ by less than this.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60 * 60);
/// About how many events one statement makes unpublished again.
const REWIND: i64 = 10_000;

/// How the stream stands to the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamSync {
    Unknown,
    /// On the connection of this number.
    Verified {
        connection: u64,
    },
    Missing {
        since: Instant,
    },
    Lost,
}

/// What a look finds.
#[derive(Clone, Copy, Debug)]
enum Found {
    Contained,
    /// By a cluster: another of its servers may have it.
    NotShown,
    Gone,
}

impl StreamSync {
    fn after(self, found: Found, connection: u64, now: Instant) -> Self {
        match (self, found) {
            (_, Found::Contained) => Self::Verified { connection },
            (_, Found::Gone) | (Self::Lost, Found::NotShown) => Self::Lost,
            (Self::Missing { since }, Found::NotShown) if now - since >= CATCHING_UP => Self::Lost,
            (Self::Missing { .. }, Found::NotShown) => self,
            (_, Found::NotShown) => Self::Missing { since: now },
        }
    }
}

impl<S: Sink> DatabaseRelay<S> {
    /// Compares the stream with the checkpoint. After a loss, what came after the last message that it contains is
    /// to be sent again, and every consumer starts over (a resync). True: nothing was lost.
    pub(super) async fn verify_or_resync(&mut self) -> anyhow::Result<bool> {
        let connection = self.sink.connections();
        // Nothing is sent until this comes to an end.
        let before = std::mem::replace(&mut self.sync, StreamSync::Unknown);
        let mut stream = self.sink.ensure_stream().await?;
        if self.is_purged(&stream).await? {
            // What it has left is sent again as well: it would not take that twice.
            stream = self.sink.delete_and_recreate_stream(&stream).await?;
        }
        let Checkpoint { stream: known, last } =
            self.read(|db| store::checkpoint(db).boxed()).await?;
        let another = known.is_some_and(|known| known != made(&stream));
        let end = last.filter(|_| !another);
        let found = match end {
            Some((sequence, id)) if self.contains(&stream, sequence, id).await? => Found::Contained,
            Some(_) if self.sink.is_clustered() => Found::NotShown,
            None if !another => Found::Contained,
            _ => Found::Gone,
        };
        let sync = before.after(found, connection, Instant::now());
        match sync {
            StreamSync::Verified { .. } if known.is_none() => {
                self.save_checkpoint(&stream, end).await?;
            }
            StreamSync::Missing { .. } => {
                self.sync = sync;
                bail!("the stream does not show what it holds: looking again");
            }
            StreamSync::Lost => {
                self.sync = sync;
                self.resync(stream, end).await?;
            }
            StreamSync::Verified { .. } | StreamSync::Unknown => {}
        }
        self.sync = StreamSync::Verified { connection };
        Ok(sync != StreamSync::Lost)
    }

    /// `end` is what the stream has lost; none: another stream is in its place, and counts as empty.
    ///
    /// In a cluster, servers that remember differently may never agree again, and each delivers what it
    /// has itself (seen with 2.9.10: the leader had all, the consumer's was silent ten messages short of
    /// the end). So what is left of a stream there goes as well, and all is sent again.
    async fn resync(&mut self, mut stream: Info, end: Option<(i64, Uuid)>) -> anyhow::Result<()> {
        let mut kept = None;
        // First of all: once the rows are rewound nothing is wrong any more, and nobody would do it.
        if end.is_some() && self.sink.is_clustered() {
            stream = self.sink.delete_and_recreate_stream(&stream).await?;
        } else {
            if let Some((sequence, _)) = end {
                kept = self.last_match(&stream, sequence).await?;
            }
            // Their places in a stream that lost its end mean nothing.
            self.sink.recreate_consumers().await?;
        }
        crash::point(Point::RelayRewinding);
        let above = kept.map_or(0, |(sequence, _)| sequence);
        let again = self.rewind(above).await?;
        // Last: until now whoever comes after a crash sees the same loss, and goes on.
        self.save_checkpoint(&stream, kept).await?;
        self.low_water = 0;
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
                return self.step_down();
            }
        }
    }

    async fn save_checkpoint(
        &mut self,
        stream: &Info,
        last: Option<(i64, Uuid)>,
    ) -> anyhow::Result<()> {
        let (holder, made) = (self.holder, made(stream));
        if !self.write(move |db| store::save_checkpoint(db, holder, made, last).boxed()).await? {
            return self.step_down();
        }
        Ok(())
    }

    /// Binary search for the last of our messages that the stream still contains; none when it contains
    /// nothing of ours. (What a stream lost is always its end; what went out of retention counts as contained.)
    async fn last_match(&self, stream: &Info, lost: i64) -> anyhow::Result<Option<(i64, Uuid)>> {
        let (mut kept, mut lost, mut last) = (0, lost, None);
        while lost - kept > 1 {
            let middle = kept + (lost - kept) / 2;
            match self.read(move |db| store::published_below(db, middle).boxed()).await? {
                Some((sequence, _)) if sequence <= kept => kept = middle,
                Some((sequence, id)) if self.contains(stream, sequence, id).await? => {
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
    async fn is_purged(&self, stream: &Info) -> anyhow::Result<bool> {
        let (config, first) = (&stream.config, stream.state.first_sequence);
        let limits = [config.max_messages, config.max_messages_per_subject];
        if first <= 1 || limits.iter().any(|limit| *limit > 0) || may_be_trimmed(stream) {
            return Ok(false);
        }
        let age = config.max_age.saturating_sub(CLOCK_SKEW_MAX).as_secs_f64();
        let first = i64::try_from(first)?;
        Ok(self.read(move |db| store::is_young_below(db, first, age).boxed()).await?)
    }
    async fn contains(&self, stream: &Info, sequence: i64, id: Uuid) -> anyhow::Result<bool> {
        let sequence = u64::try_from(sequence)?;
        let Some(message) = self.sink.message(sequence).await? else {
            let now = self.sink.ensure_stream().await?;
            ensure!(now.created == stream.created, "the stream was made anew meanwhile");
            return Ok(sequence < now.state.first_sequence && sequence <= now.state.last_sequence);
        };
        let expected = id.to_string();
        Ok(message.headers.get(MESSAGE_ID).is_some_and(|id| id.as_str() == expected))
    }
}

/// When a stream was made, as exactly as a database keeps it.
fn made(stream: &Info) -> OffsetDateTime {
    stream.created.replace_microsecond(stream.created.microsecond()).unwrap_or(stream.created)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_noticed_as_the_table_says() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let missing = |seconds| StreamSync::Missing { since: at(seconds) };
        let (verified, again) =
            (StreamSync::Verified { connection: 1 }, StreamSync::Verified { connection: 2 });
        for (state, found, seconds, next) in [
            (StreamSync::Unknown, Found::Contained, 0, again),
            (verified, Found::Contained, 0, again),
            (missing(0), Found::Contained, 60, again),
            (StreamSync::Lost, Found::Contained, 0, again),
            (verified, Found::Gone, 0, StreamSync::Lost),
            (missing(0), Found::Gone, 0, StreamSync::Lost),
            (verified, Found::NotShown, 3, missing(3)),
            (StreamSync::Unknown, Found::NotShown, 3, missing(3)),
            (missing(0), Found::NotShown, 4, missing(0)),
            (missing(0), Found::NotShown, 5, StreamSync::Lost),
            (StreamSync::Lost, Found::NotShown, 0, StreamSync::Lost),
        ] {
            assert_eq!(
                state.after(found, 2, at(seconds)),
                next,
                "{state:?}, {found:?}, {seconds} s"
            );
        }
    }
}
