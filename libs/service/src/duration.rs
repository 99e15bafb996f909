//! Durations as an operator writes them: `500ms`, `2s`, `5m`, `1h`. For clap: `value_parser = service::duration::parse`.

use std::time::Duration;

/// Reads a whole number with its unit: `ms`, `s`, `m` or `h`. A bare `0` needs none.
///
/// # Errors
/// Says what was expected; a number without a unit is refused, because nobody remembers which one was meant.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("expected a duration such as 500ms or 2s, not {text:?}"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(number, 1),
        "m" => seconds(number, 60),
        "h" => seconds(number, 3600),
        "" if number == 0 => Ok(Duration::ZERO),
        "" => Err(format!("a unit is missing: {number}ms, {number}s, {number}m or {number}h?")),
        other => Err(format!("unknown unit {other:?}: use ms, s, m or h")),
    }
}

fn seconds(number: u64, factor: u64) -> Result<Duration, String> {
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, millis) in
            [("0", 0), ("0s", 0), ("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "2",
            "s",
            "-1s",
            "1.5s",
            "2 s",
            "2sec",
            "5d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
