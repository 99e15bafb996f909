//! What a consumer needs of the bus, and all that it needs: a seam, behind which there is NATS, or a bus in memory
//! where a test of the engine makes it do what a server seldom does.

use std::time::Duration;

use async_nats::jetstream::consumer::{Info, PullConsumer};
use async_nats::jetstream::{AckKind, Message, stream};
use async_nats::{StatusCode, Subject, Subscriber};
use futures_util::StreamExt as _;

use crate::Bus;
use crate::bus::{Call, consumer_name, stream_name};
use crate::codec::received;
use crate::model::Received;
use crate::provisioning::Request;

/// One durable consumer.
pub(crate) trait Source: Send + Sync + 'static {
    /// Where it delivers to.
    type Inbox: Inbox;

    /// Sees that it exists; it is created when it is missing.
    fn ensure_consumer(&self) -> impl Call<()>;

    /// Has it created again, from the stream's beginning.
    fn recreate(&self) -> impl Call<()>;

    /// How it stands; an error when it has vanished.
    fn info(&self) -> impl Call<Info>;

    /// How its stream stands.
    fn stream(&self) -> impl Call<stream::Info>;

    /// An inbox of its own for whoever pulls.
    fn open(&self) -> impl Call<Self::Inbox>;

    /// Answers a delivery. Nobody says whether that arrived; what would be heard too late is not sent.
    fn answer(&self, reply: &Subject, answer: AckKind) -> impl Call<()>;
}

/// What was pulled arrives here.
pub(crate) trait Inbox: Send {
    /// Asks for so many messages, whichever come within this time.
    fn pull(&self, events: usize, expires: Duration) -> impl Call<()>;

    /// Waits for one message. It may be dropped while it waits, and nothing is lost.
    ///
    /// # Errors
    /// When the server says that the consumer cannot be pulled from: it is gone, or moves.
    fn next(&mut self) -> impl Call<Received>;

    /// Ends the pulls. What is here already can still be read.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// The durable consumer on NATS that `context` has of the stream of `source`.
pub(crate) struct NatsSource {
    bus: Bus,
    context: &'static str,
    source: &'static str,
    stream: String,
    name: String,
}

impl NatsSource {
    pub(crate) fn new(bus: Bus, context: &'static str, source: &'static str) -> Self {
        let (stream, name) = (stream_name(source), consumer_name(context, source));
        Self { bus, context, source, stream, name }
    }
}

impl Source for NatsSource {
    type Inbox = NatsInbox;

    async fn ensure_consumer(&self) -> anyhow::Result<()> {
        self.stream().await?;
        if let Err(error) = self.info().await {
            let error = format!("{error:#}");
            tracing::info!(consumer = self.name, error, "asking for the consumer");
            let source = self.source.to_owned();
            self.bus.ask(self.context, &Request::CreateConsumer { source }).await?;
            self.info().await?;
        }
        Ok(())
    }

    async fn recreate(&self) -> anyhow::Result<()> {
        let source = self.source.to_owned();
        self.bus.ask(self.context, &Request::RecreateConsumer { source }).await
    }

    async fn info(&self) -> anyhow::Result<Info> {
        let consumer = self.bus.jetstream().get_consumer_from_stream(&self.name, &self.stream);
        let consumer: PullConsumer = consumer.await?;
        Ok(consumer.cached_info().clone())
    }

    async fn stream(&self) -> anyhow::Result<stream::Info> {
        self.bus.stream(self.source).await
    }

    async fn open(&self) -> anyhow::Result<NatsInbox> {
        let reply = self.bus.client().new_inbox();
        let messages = self.bus.client().subscribe(reply.clone()).await?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        Ok(NatsInbox {
            bus: self.bus.clone(),
            subject: subject.into(),
            reply: reply.into(),
            messages,
        })
    }

    async fn answer(&self, reply: &Subject, answer: AckKind) -> anyhow::Result<()> {
        let late = matches!(answer, AckKind::Progress) && !self.bus.is_connected();
        if !late {
            self.bus.client().publish(reply.clone(), answer.into()).await?;
        }
        Ok(())
    }
}

pub(crate) struct NatsInbox {
    bus: Bus,
    /// Where pulls go.
    subject: Subject,
    reply: Subject,
    messages: Subscriber,
}

impl Inbox for NatsInbox {
    async fn pull(&self, events: usize, expires: Duration) -> anyhow::Result<()> {
        let request = format!(r#"{{"batch":{events},"expires":{}}}"#, expires.as_nanos());
        let (subject, reply) = (self.subject.clone(), self.reply.clone());
        Ok(self.bus.client().publish_with_reply(subject, reply, request.into()).await?)
    }

    async fn next(&mut self) -> anyhow::Result<Received> {
        while let Some(message) = self.messages.next().await {
            match message.status {
                None | Some(StatusCode::OK) => {
                    let context = self.bus.jetstream().clone();
                    return received(Message { message, context });
                }
                Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {} // the end of a pull
                Some(status) => {
                    let why = message.description.unwrap_or_default();
                    anyhow::bail!("the pull was refused: {status} {why}");
                }
            }
        }
        anyhow::bail!("the connection is closed")
    }

    async fn close(&mut self) {
        drop(self.messages.unsubscribe().await);
    }
}
