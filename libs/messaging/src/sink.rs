//! What a relay needs of the bus, and all that it needs: a seam like [`crate::source`].

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Info, RawMessageErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use crate::Bus;
use crate::bus::{Call, stream_name};
use crate::provisioning::Request;

/// The stream of one context.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Publishes a message. Answers its sequence, when the stream has it.
    fn publish(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> impl Call<u64>;

    /// How the stream stands; a missing one is created.
    fn ensure_stream(&self) -> impl Call<Info>;

    /// The message with this sequence, if there is one.
    fn message(&self, sequence: u64) -> impl Call<Option<StreamMessage>>;

    /// Has this very stream deleted, with all its messages, and created anew, empty.
    ///
    /// # Errors
    /// As the provisioner's, and when somebody has done it already.
    fn delete_and_recreate_stream(&self, stream: &Info) -> impl Call<Info>;

    /// Has all consumers of the stream created anew, from its beginning.
    fn recreate_consumers(&self) -> impl Call<()>;

    /// How many connections there have been. Two equal answers: whatever was sent and acknowledged
    /// between them was of one connection, and so of a server that did not start again.
    fn connections(&self) -> u64;

    /// Whether the server is one of a cluster: who leads a stream may then change, or come back with
    /// less than it had, while our connection holds.
    fn is_clustered(&self) -> bool;

    /// Whatever the relays of other copies have to say: that there is work.
    fn wake_ups(&self) -> impl Call<BoxStream<'static, ()>>;

    /// Says so to them, unless nobody hears it.
    fn wake_others(&self) -> impl Call<()>;
}

/// The stream on NATS that `context` publishes to from one of its databases.
pub(crate) struct NatsSink {
    bus: Bus,
    context: &'static str,
    /// For core NATS, between the relays of this database.
    wake_up: String,
}

impl NatsSink {
    pub(crate) fn new(bus: &Bus, context: &'static str, database: usize) -> Self {
        let wake_up = format!("souk-poke.{context}.{database}");
        Self { bus: bus.clone(), context, wake_up }
    }
}

impl Sink for NatsSink {
    async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> anyhow::Result<u64> {
        let jetstream = self.bus.jetstream();
        let sent = jetstream.publish_with_headers(subject.to_owned(), headers, payload).await?;
        Ok(sent.await?.sequence)
    }

    async fn ensure_stream(&self) -> anyhow::Result<Info> {
        match self.bus.jetstream().get_stream(stream_name(self.context)).await {
            Ok(stream) => Ok(stream.cached_info().clone()),
            Err(error) if is_missing(&error) => {
                self.bus.ask(self.context, &Request::CreateStream).await?;
                self.bus.stream(self.context).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn message(&self, sequence: u64) -> anyhow::Result<Option<StreamMessage>> {
        let stream = self.bus.jetstream().get_stream_no_info(stream_name(self.context)).await?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_and_recreate_stream(&self, stream: &Info) -> anyhow::Result<Info> {
        let created = stream.created.unix_timestamp_nanos();
        self.bus.ask(self.context, &Request::RecreateStream { created }).await?;
        self.bus.stream(self.context).await
    }

    async fn recreate_consumers(&self) -> anyhow::Result<()> {
        self.bus.ask(self.context, &Request::RecreateConsumers).await
    }

    fn connections(&self) -> u64 {
        self.bus.connections()
    }

    fn is_clustered(&self) -> bool {
        self.bus.is_clustered()
    }

    async fn wake_ups(&self) -> anyhow::Result<BoxStream<'static, ()>> {
        Ok(self.bus.client().subscribe(self.wake_up.clone()).await?.map(drop).boxed())
    }

    async fn wake_others(&self) -> anyhow::Result<()> {
        if self.bus.is_connected() {
            self.bus.client().publish(self.wake_up.clone(), "".into()).await?;
        }
        Ok(())
    }
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
