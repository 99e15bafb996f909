//! Until when a capture may be sent.

use std::time::Duration;

/// How long a capture may still be sent for a checkout that has so much time left: so long that the
/// answer, which takes `call_max` at most, comes before the deadline. Calls that may take longer
/// than the checkout has leave it half of its time, or no short checkout would ever be paid.
pub fn pay_within(time_left: Duration, call_max: Duration) -> Duration {
    time_left.saturating_sub(call_max).max(time_left / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_before_the_deadline_or_half_the_time_is_left() {
        let seconds = Duration::from_secs;
        assert_eq!(pay_within(seconds(20), seconds(2)), seconds(18));
        assert_eq!(pay_within(seconds(2), seconds(2)), seconds(1));
        assert_eq!(pay_within(Duration::ZERO, seconds(2)), Duration::ZERO);
    }
}
