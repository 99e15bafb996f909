//! One batch on its way from the outbox to the stream.

use std::collections::HashSet;

use crash::Point;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::time::timeout;
use tracing::Instrument as _;
use uuid::Uuid;

use super::checkpoint::StreamSync;
use super::{ACK_TIMEOUT, DatabaseRelay};
use crate::codec::headers;
use crate::model::{Acknowledged, Stored};
use crate::sink::Sink;
use crate::{metrics, spans, store};

/// No batch is larger.
pub(super) const BATCH: i64 = 512;
/// How far below the newest position a fetch looks; only the sweep looks further.
const LOW_WATER_DEPTH: i64 = 10_000;

impl<S: Sink> DatabaseRelay<S> {
    /// One batch: fetch, publish pipelined, mark. Answers how many were fetched.
    ///
    /// After a restart the server may have lost messages that it has acknowledged. New messages then get the same
    /// sequence numbers. As soon as the stream reaches its old length, the length does not show the loss any more. So on
    /// a new connection the stream is compared before anything is sent, and acknowledgements count only when they
    /// come over the connection on which it was compared.
    ///
    /// In a cluster a new leader may have forgotten behind a connection that held: most of the servers
    /// lost power, and what they had not synced yet. There the stream is looked at once more before what
    /// it acknowledged is marked, which moves the place to look at.
    pub(super) async fn publish_batch(&mut self, low_water: i64) -> anyhow::Result<usize> {
        let connection = self.sink.connections();
        if self.sync != (StreamSync::Verified { connection }) {
            self.verify_or_resync().await?;
        }
        let events = self.read(move |db| store::unpublished(db, low_water, BATCH).boxed()).await?;
        let Some(newest) = events.last().map(|event| event.position) else { return Ok(0) };
        crash::point(Point::RelayFetched);
        let acks = join_all(events.iter().map(|event| self.send(event))).await;
        anyhow::ensure!(self.sink.connections() == connection, "another connection: sending again");
        if self.sink.is_clustered() {
            anyhow::ensure!(
                self.verify_or_resync().await?,
                "the stream lost its end: sending again"
            );
        }
        let (acknowledged, held_back) = sort_out(&events, acks);
        crash::point(Point::RelayPublished);
        let (holder, acks) = (self.holder, acknowledged.clone());
        let mark = self
            .write(move |db| async move { store::mark_published(db, holder, &acks).await }.boxed());
        if !mark.await? {
            return self.step_down();
        }
        crash::point(Point::RelayMarked);
        metrics::published(self.context, acknowledged.iter().map(|ack| ack.occurred_at));
        anyhow::ensure!(held_back.is_empty(), "some events could not be published");
        self.low_water = newest - LOW_WATER_DEPTH;
        Ok(events.len())
    }

    async fn send(&self, event: &Stored) -> anyhow::Result<i64> {
        let span = spans::publish_span(event);
        let traceparent = telemetry::context::of(&span).or_else(|| event.traceparent.clone());
        let headers = headers(event, self.context, traceparent.as_deref())?;
        let payload = event.payload.clone().into();
        let publish = self.sink.publish(&event.subject, headers, payload).instrument(span);
        // The client's own ack timeout does not cover this path (nats-io/nats.rs #1558).
        let sequence = timeout(ACK_TIMEOUT, publish).await??;
        // A cluster's leader of before 2.10.20 so answers a second time what it has not stored the first
        // time yet (nats-server #5827).
        anyhow::ensure!(sequence > 0, "not stored yet");
        Ok(i64::try_from(sequence)?)
    }
}

/// What of a batch is acknowledged, and the aggregates of which something is not: whatever follows it goes again, after it.
fn sort_out(
    events: &[Stored],
    acks: Vec<anyhow::Result<i64>>,
) -> (Vec<Acknowledged>, HashSet<Uuid>) {
    let (mut acknowledged, mut held_back) = (Vec::with_capacity(events.len()), HashSet::new());
    for (event, ack) in events.iter().zip(acks) {
        match ack {
            Ok(_) if held_back.contains(&event.aggregate_id) => {}
            Ok(sequence) => acknowledged.push(Acknowledged::new(event, sequence)),
            Err(error) => {
                held_back.insert(event.aggregate_id);
                tracing::warn!(error = %error, "not published, will be sent again");
            }
        }
    }
    (acknowledged, held_back)
}
