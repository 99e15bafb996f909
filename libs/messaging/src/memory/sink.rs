use std::sync::{Arc, Mutex, MutexGuard};

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config, Info};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::codec::MESSAGE_ID;
use crate::sink::Sink;

/// A stream in memory. It takes a message twice that is sent twice, as a server does after its window for duplicates.
#[derive(Clone)]
pub(crate) struct MemorySink(Arc<Mutex<Stream>>);

/// What there is, and what is to happen.
pub(crate) struct Stream {
    pub info: Info,
    /// The first has sequence 1.
    pub messages: Vec<StreamMessage>,
    pub connections: u64,
    pub clustered: bool,
    /// The message with this id is refused once.
    pub refuses: Option<String>,
    /// Before the one with this id there is another connection.
    pub reconnects_at: Option<String>,
    /// How often the stream's consumers were created anew.
    pub consumers_recreated: usize,
    /// How often the stream was created anew on request.
    pub recreated: usize,
}

impl MemorySink {
    pub fn new() -> Self {
        let stream = Stream {
            info: empty(),
            messages: Vec::new(),
            connections: 1,
            clustered: false,
            refuses: None,
            reconnects_at: None,
            consumers_recreated: 0,
            recreated: 0,
        };
        Self(Arc::new(Mutex::new(stream)))
    }

    pub fn stream(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap()
    }

    /// The ids of the messages, in their order.
    pub fn ids(&self) -> Vec<String> {
        let id = |it: &StreamMessage| it.headers.get(MESSAGE_ID).unwrap().to_string();
        self.stream().messages.iter().map(id).collect()
    }
}

impl Stream {
    /// The server starts again without the messages after the first `kept`.
    pub fn lose_end(&mut self, kept: usize) {
        self.messages.truncate(kept);
        self.connections += 1;
    }

    /// Another stream of this name is in its place, empty.
    pub fn replace(&mut self) {
        let before = self.info.created;
        self.info = empty();
        assert_ne!(self.info.created, before);
        self.messages.clear();
    }

    fn info(&self) -> Info {
        let (mut info, messages) = (self.info.clone(), self.messages.len() as u64);
        (info.state.messages, info.state.last_sequence) = (messages, messages);
        info
    }
}

impl Sink for MemorySink {
    async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> anyhow::Result<u64> {
        let mut stream = self.stream();
        let id = headers.get(MESSAGE_ID).unwrap().as_str();
        anyhow::ensure!(stream.refuses.take_if(|it| it == id).is_none(), "refused");
        stream.connections += u64::from(stream.reconnects_at.take_if(|it| it == id).is_some());
        let sequence = stream.messages.len() as u64 + 1;
        let (subject, time) = (subject.into(), kernel::clock::now());
        stream.messages.push(StreamMessage { subject, sequence, headers, payload, time });
        Ok(sequence)
    }

    async fn ensure_stream(&self) -> anyhow::Result<Info> {
        Ok(self.stream().info())
    }

    async fn message(&self, sequence: u64) -> anyhow::Result<Option<StreamMessage>> {
        let at = usize::try_from(sequence)?.checked_sub(1);
        Ok(at.and_then(|at| self.stream().messages.get(at).cloned()))
    }

    async fn delete_and_recreate_stream(&self, _: &Info) -> anyhow::Result<Info> {
        let mut stream = self.stream();
        stream.replace();
        stream.recreated += 1;
        Ok(stream.info())
    }

    async fn recreate_consumers(&self) -> anyhow::Result<()> {
        self.stream().consumers_recreated += 1;
        Ok(())
    }

    fn connections(&self) -> u64 {
        self.stream().connections
    }

    fn is_clustered(&self) -> bool {
        self.stream().clustered
    }

    async fn wake_ups(&self) -> anyhow::Result<BoxStream<'static, ()>> {
        Ok(futures_util::stream::pending().boxed())
    }

    async fn wake_others(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A stream without messages that was created now.
pub(super) fn empty() -> Info {
    let now = kernel::clock::now().format(&Rfc3339).unwrap();
    let config = Config { name: "SOUK_ORDER".to_owned(), ..Config::default() };
    let state = json!({
        "messages": 0, "bytes": 0, "first_seq": 1, "first_ts": now, "last_seq": 0, "last_ts": now, "consumer_count": 0
    });
    serde_json::from_value(json!({ "config": config, "created": now, "state": state })).unwrap()
}
