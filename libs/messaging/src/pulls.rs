//! Pull requests to a durable consumer, always more than one of them.
//!
//! A pull can die without a word (nats-server #5839). Measured with 2.9.10: of 3,000 messages, sent
//! one by one to pulls that ran out every 250 ms, 12 waited until the client gave up on a pull that
//! had brought neither a message nor its end. So a new one is sent twice in the time that one lives:
//! what a dead one missed, the next one brings. All answer to one inbox.

use std::mem;
use std::time::Duration;

use async_nats::jetstream::{Context, Message};
use async_nats::{StatusCode, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

use crate::Bus;

/// A pull lives for so long at most.
const EXPIRES: Duration = Duration::from_secs(2);
/// So often another one is sent, so that two are alive.
const EVERY: Duration = Duration::from_secs(1);
/// How many messages one pull asks for.
const EVENTS: usize = 1024;
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
    /// The batch that is being filled: whoever stops waiting for it loses nothing.
    batch: Vec<Message>,
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
            batch: Vec::new(),
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
        let mut bytes = 0;
        while self.batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
            let message = match self.batch.len() {
                0 => self.first(limit).await?,
                _ => unconstrained(self.next()).now_or_never(),
            };
            let Some(message) = message.transpose()? else { break };
            bytes += message.payload.len();
            self.batch.push(message);
        }
        Ok(mem::take(&mut self.batch))
    }

    async fn first(&mut self, limit: Instant) -> anyhow::Result<Option<anyhow::Result<Message>>> {
        while Instant::now() < limit {
            if self.left == 0 || self.sent.elapsed() >= EVERY {
                self.send().await?;
            }
            if let Ok(message) = timeout_at(limit.min(self.sent + EVERY), self.next()).await {
                return Ok(Some(message));
            }
        }
        Ok(None)
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
    pub(crate) async fn close(mut self) -> Vec<Message> {
        drop(self.inbox.unsubscribe().await);
        let mut unseen = mem::take(&mut self.batch);
        while let Some(Some(message)) = self.inbox.next().now_or_never() {
            if message.status.is_none() {
                unseen.push(Message { message, context: self.jetstream.clone() });
            }
        }
        unseen
    }
}
