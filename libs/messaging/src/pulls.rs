//! Pull requests to a durable consumer, always more than one of them.
//!
//! A pull can die without a word (nats-server #5839). Measured with 2.9.10: of 3,000 messages, sent
//! one by one to pulls that ran out every 250 ms, 12 waited until the client gave up on a pull that
//! had brought neither a message nor its end. So a new one is sent twice in the time that one lives:
//! what a dead one missed, the next one brings. All answer to one inbox.
//!
//! Prefetch is bounded by what is unread: no pull is sent while a message is here that nobody has taken. And
//! what is here is kept: the server delivers again soon ([`ACK_WAIT`]) what a copy had that died, so a copy
//! that lives says of each message that it has it, whether it is being handled or waits for its turn.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::AckKind;
use futures_util::FutureExt as _;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

use crate::model::Received;
use crate::source::{Inbox, Source};

/// How long a pull lives at most.
const EXPIRES: Duration = Duration::from_secs(2);
/// How often another one is sent, so that two are alive.
const EVERY: Duration = Duration::from_secs(1);
/// How many messages one pull asks for.
const EVENTS: usize = 512;
/// Delivered again when nobody has acknowledged it, or said that it is in progress, for so long. Orders that a
/// killed process had in hand move again after it.
pub(crate) const ACK_WAIT: Duration = Duration::from_millis(1500);
/// How often a copy says what is in progress: two such words may be late or lost.
pub(crate) const IN_PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// No batch is larger.
pub(crate) const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// The messages of one durable consumer.
pub(crate) struct Pulls<'a, S: Source> {
    source: &'a S,
    inbox: S::Inbox,
    sent: Instant,
    left: usize,
    /// Delivered, and not taken yet.
    unread: VecDeque<Received>,
}

impl<'a, S: Source> Pulls<'a, S> {
    /// Opens an inbox of its own and sends the first pull.
    pub(crate) async fn open(source: &'a S) -> anyhow::Result<Self> {
        let (inbox, unread) = (source.open().await?, VecDeque::new());
        let mut pulls = Self { source, inbox, sent: Instant::now(), left: 0, unread };
        pulls.send().await?;
        Ok(pulls)
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        self.inbox.pull(EVENTS, EXPIRES).await?;
        (self.sent, self.left) = (Instant::now(), EVENTS);
        Ok(())
    }

    /// Waits for one message until `limit`, then takes what is there already. Empty when none came.
    ///
    /// # Errors
    /// As [`Inbox::next`].
    pub(crate) async fn next_batch(&mut self, limit: Instant) -> anyhow::Result<Vec<Received>> {
        self.read()?;
        while self.unread.is_empty() && Instant::now() < limit {
            if self.left == 0 || self.sent.elapsed() >= EVERY {
                self.send().await?;
            }
            if let Ok(message) = timeout_at(limit.min(self.sent + EVERY), self.next()).await {
                self.unread.push_back(message?);
                self.read()?;
            }
        }
        let mut bytes = 0;
        let fits = self.unread.iter().take(BATCH_EVENTS).take_while(|message| {
            let before = bytes;
            bytes += message.event.payload.len();
            before < BATCH_BYTES
        });
        let events = fits.count();
        Ok(self.unread.drain(..events).collect())
    }

    /// Whether something waits here that nobody has taken.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Whatever has been delivered.
    fn read(&mut self) -> anyhow::Result<()> {
        while let Some(message) = unconstrained(self.next()).now_or_never() {
            self.unread.push_back(message?);
        }
        Ok(())
    }

    /// Says of these messages, and of all that wait here, that they are in progress. One that is not heard
    /// costs one more delivery, which the inbox knows.
    ///
    /// # Errors
    /// As [`Self::next_batch`].
    pub(crate) async fn extend_ack_deadlines(&mut self, taken: &[Subject]) -> anyhow::Result<()> {
        self.read()?;
        let unread = self.unread.iter().map(|message| &message.receipt.reply);
        for reply in taken.iter().chain(unread) {
            self.source.answer(reply, AckKind::Progress).await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<Received> {
        let message = self.inbox.next().await?;
        self.left = self.left.saturating_sub(1);
        Ok(message)
    }

    /// Ends the pulls. What was delivered and not taken yet would stay unseen until its time to be
    /// acknowledged is over, if nobody gave it back.
    pub(crate) async fn close(mut self) -> VecDeque<Received> {
        self.inbox.close().await;
        drop(self.read());
        self.unread
    }
}
