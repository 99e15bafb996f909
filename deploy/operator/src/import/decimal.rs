//! Decimal amounts as whole pence, without floating point.

/// Why a text is not a number of pence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPence {
    /// It is no decimal number, or too large.
    Malformed,
    /// A fraction of a penny.
    Finer,
}

/// `2.55` is 255. A sign and further zeros are fine; exponents and thousands separators are not.
///
/// # Errors
/// See [`NotPence`].
pub fn pence(text: &str) -> Result<i64, NotPence> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(NotPence::Malformed);
    }
    let (pennies, finer) = fraction.split_at(fraction.len().min(2));
    let whole: i64 = whole.parse().map_err(|_| NotPence::Malformed)?;
    let part: i64 = format!("{pennies:0<2}").parse().map_err(|_| NotPence::Malformed)?;
    let pence = whole.checked_mul(100).and_then(|pence| pence.checked_add(part));
    let pence = pence.ok_or(NotPence::Malformed)?;
    if finer.bytes().any(|digit| digit != b'0') {
        return Err(NotPence::Finer);
    }
    Ok(if negative { -pence } else { pence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundredth_is_exact() {
        for pennies in 0..10_000 {
            let text = format!("{}.{:02}", pennies / 100, pennies % 100);
            assert_eq!(pence(&text), Ok(pennies), "{text}");
        }
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("2.55", Ok(255)),
            ("2.1", Ok(210)),
            ("7", Ok(700)),
            ("0.0", Ok(0)),
            ("-11062.06", Ok(-1_106_206)),
            ("13541.330", Ok(1_354_133)),
            ("0.001", Err(NotPence::Finer)),
            ("", Err(NotPence::Malformed)),
            (".5", Err(NotPence::Malformed)),
            ("5.", Err(NotPence::Malformed)),
            ("1e3", Err(NotPence::Malformed)),
            ("1,000.00", Err(NotPence::Malformed)),
            ("£2.55", Err(NotPence::Malformed)),
            ("--1", Err(NotPence::Malformed)),
            ("99999999999999999999", Err(NotPence::Malformed)),
        ] {
            assert_eq!(pence(text), expected, "{text:?}");
        }
    }
}
