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

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Context, Message};
use async_nats::{StatusCode, Subject, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

use crate::Bus;

/// A pull lives for so long at most.
const EXPIRES: Duration = Duration::from_secs(2);
/// So often another one is sent, so that two are alive.
const EVERY: Duration = Duration::from_secs(1);
/// How many messages one pull asks for.
const EVENTS: usize = 512;
/// Delivered again when nobody has acknowledged it, or said that it is in progress, for so long. Orders that a
/// killed process had in hand move again after it.
pub(crate) const ACK_WAIT: Duration = Duration::from_millis(1500);
/// So often a copy says what is in progress: two such words may be late or lost.
pub(crate) const IN_PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// No batch is larger.
pub(crate) const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// The messages of one durable consumer.
pub(crate) struct Pulls {
    jetstream: Context,
    bus: Bus,
    subject: String,
    inbox: Subscriber,
    reply: String,
    sent: Instant,
    left: usize,
    /// Delivered, and not taken yet.
    unread: VecDeque<Message>,
}

impl Pulls {
    /// Subscribes to an inbox of its own and sends the first pull.
    pub(crate) async fn open(bus: &Bus, stream: &str, consumer: &str) -> anyhow::Result<Self> {
        let reply = bus.client().new_inbox();
        let mut pulls = Self {
            jetstream: bus.jetstream().clone(),
            bus: bus.clone(),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            inbox: bus.client().subscribe(reply.clone()).await?,
            reply,
            sent: Instant::now(),
            left: 0,
            unread: VecDeque::new(),
        };
        pulls.send().await?;
        Ok(pulls)
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let request = format!(r#"{{"batch":{EVENTS},"expires":{}}}"#, EXPIRES.as_nanos());
        let (subject, reply) = (self.subject.clone(), self.reply.clone());
        self.bus.client().publish_with_reply(subject, reply, request.into()).await?;
        (self.sent, self.left) = (Instant::now(), EVENTS);
        Ok(())
    }

    /// Waits for one message until `limit`, then takes what is there already. Empty when none came.
    ///
    /// # Errors
    /// When the server says that the consumer cannot be pulled from: it is gone, or moves.
    pub(crate) async fn next_batch(&mut self, limit: Instant) -> anyhow::Result<Vec<Message>> {
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
            bytes += message.payload.len();
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
    pub(crate) async fn in_progress(&mut self, taken: &[Subject]) -> anyhow::Result<()> {
        self.read()?;
        if !self.bus.is_connected() {
            return Ok(()); // the server would hear it too late
        }
        let unread = self.unread.iter().filter_map(|message| message.reply.as_ref());
        for reply in taken.iter().chain(unread) {
            self.bus.client().publish(reply.clone(), AckKind::Progress.into()).await?;
        }
        Ok(())
    }

    /// One message. The end of a pull is none.
    async fn next(&mut self) -> anyhow::Result<Message> {
        while let Some(message) = self.inbox.next().await {
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.left = self.left.saturating_sub(1);
                    return Ok(Message { message, context: self.jetstream.clone() });
                }
                Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {}
                Some(status) => {
                    let why = message.description.unwrap_or_default();
                    anyhow::bail!("the pull was refused: {status} {why}");
                }
            }
        }
        anyhow::bail!("the connection is closed")
    }

    /// Ends the pulls. What was delivered and not taken yet would stay unseen until its time to be
    /// acknowledged is over, if nobody gave it back.
    pub(crate) async fn close(mut self) -> VecDeque<Message> {
        drop(self.inbox.unsubscribe().await);
        drop(self.read());
        self.unread
    }
}
