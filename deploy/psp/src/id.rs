//! Ids as callers see them, such as `cap_1f2e3d4c000000002a`: which ledger, and the seq of the record in it. They need
//! no index of their own, and an id of a ledger that was thrown away is unknown to the next one.

use std::fmt;

use serde::{Serialize, Serializer};

/// The id of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    prefix: &'static str,
    ledger: u32,
    seq: u64,
}

impl Id {
    /// Of a capture.
    pub fn capture(ledger: u32, seq: u64) -> Self {
        Self { prefix: "cap_", ledger, seq }
    }

    /// Of a refund.
    pub fn refund(ledger: u32, seq: u64) -> Self {
        Self { prefix: "re_", ledger, seq }
    }

    /// Of the webhook that tells of a record; a second delivery has the same.
    pub fn event(ledger: u32, seq: u64) -> Self {
        Self { prefix: "evt_", ledger, seq }
    }

    /// The seq that a capture id of this ledger names.
    pub fn parse_capture(text: &str, ledger: u32) -> Option<u64> {
        let hex = text.strip_prefix("cap_")?.strip_prefix(format!("{ledger:08x}").as_str())?;
        let seq = u64::from_str_radix(hex, 16).ok()?;
        (Self::capture(ledger, seq).to_string() == text).then_some(seq)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:08x}{:010x}", self.prefix, self.ledger, self.seq)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_id_leads_back_to_its_record_in_its_own_ledger_only() {
        let text = Id::capture(7, 42).to_string();
        assert_eq!(Id::parse_capture(&text, 7), Some(42));
        assert_eq!(Id::parse_capture(&text, 8), None);
        for other in [
            "",
            "cap_",
            "re_000000070000000002a",
            "cap_00000007+00000002a",
            "cap_0000000700000002A",
        ] {
            assert_eq!(Id::parse_capture(other, 7), None, "{other}");
        }
    }
}
