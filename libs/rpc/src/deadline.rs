//! Deadline propagation. Deadlines are absolute inside a process and a duration (`grpc-timeout`) on the wire, so that
//! no two clocks are compared. The server stack sets the deadline of the call it serves; the
//! client stack reads it here and passes on what is left.

use std::time::Duration;

use context::Current;
use http::HeaderValue;
use tokio::time::Instant;

/// The header that carries what is left of a deadline.
pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// When the caller of the current call stops waiting; `None` outside of calls.
pub fn current() -> Option<Instant> {
    Current::capture().deadline()
}

/// How long the caller of the current call still waits; zero when it no longer does.
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Runs `work` with a deadline `after` from now, or with the current one when that is earlier.
/// It does not stop `work`: it bounds the calls that `work` makes.
pub async fn within<F: Future>(after: Duration, work: F) -> F::Output {
    let ours = Instant::now() + after;
    let deadline = current().map_or(ours, |theirs| theirs.min(ours));
    Current::capture().with_deadline(deadline).scope(work).await
}

/// Reads a `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn parse(value: &HeaderValue) -> Option<Duration> {
    let (digits, unit) = value.to_str().ok()?.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Writes a `grpc-timeout`, in the finest unit that holds it.
pub(crate) fn format(left: Duration) -> HeaderValue {
    const DIGITS: u128 = 99_999_999;
    let text = if left.as_micros() <= DIGITS {
        format!("{}u", left.as_micros())
    } else if left.as_millis() <= DIGITS {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", u128::from(left.as_secs()).min(DIGITS))
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for left in [0, 1, 999, 5_000_000, 99_999_999].map(Duration::from_micros) {
            assert_eq!(parse(&format(left)), Some(left));
        }
        assert_eq!(parse(&format(Duration::from_secs(86_400))), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn nonsense_is_no_deadline() {
        for text in ["", "S", "5", "123456789S", "-1S", "5x", "1.5S", "é"] {
            assert_eq!(parse(&HeaderValue::from_bytes(text.as_bytes()).unwrap()), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_deadline_only_shrinks() {
        assert_eq!(current(), None);
        within(Duration::from_secs(5), async {
            let outer = current().unwrap();
            within(Duration::from_secs(60), async { assert_eq!(current(), Some(outer)) }).await;
            within(Duration::ZERO, async { assert_eq!(remaining(), Some(Duration::ZERO)) }).await;
        })
        .await;
    }
}
