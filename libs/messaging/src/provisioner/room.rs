//! Room in a stream. Its size is limited, and it refuses what does not fit: whatever is refused stays in the outbox and
//! goes later, so nothing is lost. That it seldom comes to that, what every consumer has acknowledged is removed
//! from its beginning while there is still some room.

use async_nats::jetstream::consumer::Info as Consumer;
use async_nats::jetstream::stream::{Info, Stream};

use crate::bus::{consumer_name, is_filled};

/// A stream is trimmed when it holds more than this share of its limit, in percent.
const TRIM_START_PERCENT: u64 = 75;
/// It is trimmed down to this share.
const TRIM_TARGET_PERCENT: u64 = 50;
/// One purge removes at most a sixteenth of its messages.
const TRIM_STEP_DIVISOR: u64 = 16;

/// Trims a stream that fills up. A consumer that has not acknowledged, or is missing, holds that up; the log names it.
pub(super) async fn make_room(
    stream: Stream,
    consumers: &[String],
    found: &[Consumer],
    context: &str,
) -> anyhow::Result<()> {
    if !is_filled(stream.cached_info(), TRIM_START_PERCENT) {
        return Ok(());
    }
    let floor = |name: &str| {
        let info = found.iter().find(|info| info.name == name);
        info.map_or(0, |info| info.ack_floor.stream_sequence)
    };
    let names = consumers.iter().map(|consumer| consumer_name(consumer, context));
    let floors = names.map(|name| (floor(&name), name));
    // A stream that nobody takes in is trimmed as if everybody had.
    let last = stream.cached_info().state.last_sequence;
    let (floor, slowest) = floors.min().unwrap_or((last, String::new()));
    if !trim(stream, floor).await? {
        tracing::warn!(
            context,
            slowest,
            "the stream fills up with what this consumer has not taken in"
        );
    }
    Ok(())
}

/// Removes up to the message with this sequence; whether that was enough.
async fn trim(stream: Stream, last: u64) -> anyhow::Result<bool> {
    let mut info: Info = stream.cached_info().clone();
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
