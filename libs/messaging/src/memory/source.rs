use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::{self, Info};
use async_nats::jetstream::{AckKind, stream};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

use super::sink::empty;
use crate::model::{Delivered, Receipt, Received};
use crate::source::{Inbox, Source};

/// A durable consumer in memory. What is negatively acknowledged comes again at once, however long it was to rest.
#[derive(Clone)]
pub(crate) struct MemorySource(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

/// What there is, and what is to happen.
pub(crate) struct State {
    pub info: Info,
    pub stream: stream::Info,
    /// For whoever pulls.
    queue: VecDeque<Received>,
    unacknowledged: HashMap<String, Received>,
    /// How many may still be delivered before the next pull.
    asked_for: usize,
    pub delivered: usize,
    /// How much had been delivered when each pull came.
    pub pulls: Vec<usize>,
    /// How many pulls are lost on their way.
    pub lost_pulls: usize,
    /// The next inbox gets this error instead of a message.
    pub refusal: Option<&'static str>,
    pub answers: Vec<(String, AckKind)>,
    pub opened: usize,
    pub recreated: usize,
}

impl MemorySource {
    pub fn new() -> Self {
        let state = State {
            info: caught_up(),
            stream: empty(),
            queue: VecDeque::new(),
            unacknowledged: HashMap::new(),
            asked_for: 0,
            delivered: 0,
            pulls: Vec::new(),
            lost_pulls: 0,
            refusal: None,
            answers: Vec::new(),
            opened: 0,
            recreated: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Has these delivered, in places that count from 1.
    pub fn deliver(&self, events: &[Delivered]) {
        let mut state = self.state();
        for event in events.iter().cloned() {
            state.stream.state.last_sequence += 1;
            let reply = state.stream.state.last_sequence.to_string().into();
            let receipt = Receipt { reply, deliveries: 1 };
            state.queue.push_back(Received { receipt, event, defect: None });
        }
        self.0.changed.notify_one();
    }

    /// For how long each message that was negatively acknowledged is to rest.
    pub fn naks(&self) -> Vec<Option<Duration>> {
        let nak = |(_, answer): &(String, AckKind)| match answer {
            AckKind::Nak(rest) => Some(*rest),
            _ => None,
        };
        self.state().answers.iter().filter_map(nak).collect()
    }

    /// Which places are acknowledged.
    pub fn acknowledged(&self) -> Vec<String> {
        self.answered(|answer| matches!(answer, AckKind::Ack))
    }

    /// Which places were answered so.
    pub fn answered(&self, so: impl Fn(&AckKind) -> bool) -> Vec<String> {
        let answers = &self.state().answers;
        answers.iter().filter(|(_, answer)| so(answer)).map(|(reply, _)| reply.clone()).collect()
    }
}

impl Source for MemorySource {
    type Inbox = Self;

    async fn ensure_consumer(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn recreate(&self) -> anyhow::Result<()> {
        self.state().recreated += 1;
        Ok(())
    }

    async fn info(&self) -> anyhow::Result<Info> {
        Ok(self.state().info.clone())
    }

    async fn stream(&self) -> anyhow::Result<stream::Info> {
        Ok(self.state().stream.clone())
    }

    async fn open(&self) -> anyhow::Result<Self> {
        self.state().opened += 1;
        Ok(self.clone())
    }

    async fn answer(&self, reply: &Subject, answer: AckKind) -> anyhow::Result<()> {
        let mut state = self.state();
        state.answers.push((reply.to_string(), answer));
        if let AckKind::Nak(_) = answer
            && let Some(mut again) = state.unacknowledged.remove(reply.as_str())
        {
            again.receipt.deliveries += 1;
            state.queue.push_back(again);
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl Inbox for MemorySource {
    async fn pull(&self, events: usize, _: Duration) -> anyhow::Result<()> {
        let mut state = self.state();
        let delivered = state.delivered;
        state.pulls.push(delivered);
        match state.lost_pulls.checked_sub(1) {
            Some(left) => state.lost_pulls = left,
            None => state.asked_for = events,
        }
        self.0.changed.notify_one();
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<Received> {
        loop {
            if let Some(message) = self.state().next() {
                return message;
            }
            self.0.changed.notified().await;
        }
    }

    async fn close(&mut self) {
        self.state().asked_for = 0;
    }
}

impl State {
    /// What waits is none, for this reason.
    pub fn is_no_event(&mut self, defect: &str) {
        self.queue.iter_mut().for_each(|message| message.defect = Some(defect.to_owned()));
    }

    fn next(&mut self) -> Option<anyhow::Result<Received>> {
        if let Some(refusal) = self.refusal.take() {
            return Some(Err(anyhow::anyhow!(refusal)));
        }
        self.asked_for = self.asked_for.checked_sub(usize::from(!self.queue.is_empty()))?;
        let message = self.queue.pop_front()?;
        self.delivered += 1;
        self.unacknowledged.insert(message.receipt.reply.to_string(), message.clone());
        Some(Ok(message))
    }
}

/// A consumer that has nothing to deliver.
fn caught_up() -> Info {
    let now = kernel::clock::now().format(&Rfc3339).unwrap();
    let nowhere = json!({ "consumer_seq": 0, "stream_seq": 0 });
    serde_json::from_value(json!({
        "stream_name": "SOUK_ORDER", "name": "test-from-order", "created": now, "config": consumer::Config::default(),
        "delivered": nowhere, "ack_floor": nowhere, "num_ack_pending": 0, "num_redelivered": 0, "num_waiting": 0,
        "num_pending": 0
    }))
    .unwrap()
}
