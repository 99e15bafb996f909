//! Until when a capture may be sent.

use std::time::Duration;

/// How long a capture may still be sent for a checkout with `time_left`. The answer, which takes `call_max` at most, must
/// come before the checkout's deadline. For short checkouts it is half of the time left, or none of them would be paid.
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
