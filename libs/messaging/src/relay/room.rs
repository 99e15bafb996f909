//! Room in a stream. It holds so many bytes and refuses what does not fit: whatever is refused stays in the outbox and
//! goes later, so nothing is lost. That it seldom comes to that, what every consumer has acknowledged is removed
//! from its beginning while there is still some room.

use async_nats::jetstream::consumer::Info as Consumer;
use async_nats::jetstream::stream::{Info, Stream};
use futures_util::{FutureExt as _, TryStreamExt as _};

use super::DatabaseRelay;
use crate::store;
use crate::upkeep::OUTBOX_DAYS;

/// A stream is trimmed when it holds more than this share of its limit, in percent.
const TRIM_START_PERCENT: u64 = 75;
/// It is trimmed down to this share.
const TRIM_TARGET_PERCENT: u64 = 50;
/// Below this share nothing can have been trimmed: what is missing there was removed by somebody else.
const NEVER_TRIMMED_BELOW_PERCENT: u64 = 25;
/// One purge removes at most one of so many parts of its messages: a sixteenth.
const TRIM_STEP_DIVISOR: u64 = 16;

/// Whether events may be missing from the stream's beginning because it was trimmed.
pub(super) fn may_be_trimmed(info: &Info) -> bool {
    is_filled(info, NEVER_TRIMMED_BELOW_PERCENT)
}

fn is_filled(info: &Info, percent: u64) -> bool {
    // Below zero it is unlimited.
    let limit = u64::try_from(info.config.max_bytes).unwrap_or(0);
    limit > 0 && info.state.bytes > limit / 100 * percent
}

impl DatabaseRelay {
    /// Trims a stream that fills up. Whoever has not acknowledged, or is away, holds that up, and says so by the log.
    pub(super) async fn make_room(&self) -> anyhow::Result<()> {
        let stream = self.bus.stream(self.context).await?;
        let consumers: Vec<Consumer> = stream.consumers().try_collect().await?;
        let durable = consumers.iter().filter(|it| it.config.durable_name.is_some());
        let acknowledged: Vec<(String, u64)> =
            durable.map(|it| (it.name.clone(), it.ack_floor.stream_sequence)).collect();
        let names: Vec<String> = acknowledged.iter().map(|(name, _)| name.clone()).collect();
        let now = names.clone();
        let note = self
            .write(move |db| async move { store::listeners(db, &now, OUTBOX_DAYS).await }.boxed());
        let listeners = note.await?;
        if !is_filled(stream.cached_info(), TRIM_START_PERCENT) {
            return Ok(());
        }
        let slowest = acknowledged.into_iter().min_by_key(|(_, floor)| *floor);
        let (listener, floor) = match listeners.into_iter().find(|name| !names.contains(name)) {
            Some(absent) => (absent, 0),
            None => slowest.unwrap_or_default(),
        };
        if !trim(stream, floor).await? {
            let context = self.context;
            tracing::warn!(
                context,
                listener,
                "the stream fills up with what this one has not taken in"
            );
        }
        Ok(())
    }
}

/// Removes up to the message with this sequence; whether that was enough.
async fn trim(stream: Stream, last: u64) -> anyhow::Result<bool> {
    let mut info = stream.cached_info().clone();
    while is_filled(&info, TRIM_TARGET_PERCENT) {
        let first = info.state.first_sequence;
        let kept_from = (first + info.state.messages.div_ceil(TRIM_STEP_DIVISOR)).min(last + 1);
        if kept_from <= first {
            return Ok(false);
        }
        stream.purge().sequence(kept_from).await?;
        info = stream.get_info().await?;
    }
    Ok(true)
}
