//! One record and its line in the file: JSON that ends in a checksum of everything before it, so that `jq` reads the
//! file and a flipped bit does not pass for money.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::amount::Amount;

/// Something that happened, for good.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its place in the ledger, counted from 1 without gaps.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The idempotency key it was asked for with.
    pub key: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened under a key.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// Money was taken.
    Capture(Charge),
    /// The card was refused.
    Decline(Charge),
    /// The caller ruled out that this key ever captures.
    Void,
    /// Money went back.
    Refund(Refund),
}

/// What somebody asked to take.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// The card.
    pub card_token: Box<str>,
    /// How much.
    pub amount: Amount,
    /// The caller's own name for the payment.
    pub reference: Arc<str>,
}

/// What somebody asked to give back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// The seq of the capture it undoes in whole or part.
    pub capture: u64,
    /// How much.
    pub amount: Amount,
    /// The reference of that capture.
    pub reference: Arc<str>,
}

impl Fact {
    /// The caller's name for the payment; None for a void, which has none.
    pub fn reference(&self) -> Option<&Arc<str>> {
        match self {
            Fact::Capture(charge) | Fact::Decline(charge) => Some(&charge.reference),
            Fact::Refund(refund) => Some(&refund.reference),
            Fact::Void => None,
        }
    }
}

const CRC_OPEN: &[u8] = b",\"crc\":\"";
const CRC_CLOSE: &[u8] = b"\"}";
const CRC_HEX_BYTES: usize = 8;

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadLine {
    #[error("it does not end in a checksum")]
    NoChecksum,
    #[error("its checksum does not match")]
    Checksum,
    #[error("its content is not understood: {0}")]
    Content(#[from] serde_json::Error),
}

/// Appends `value`, a struct, to `lines` as one line.
pub(super) fn encode(value: &impl Serialize, lines: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = lines.len();
    if let Err(error) = serde_json::to_writer(&mut *lines, value) {
        lines.truncate(start);
        return Err(error);
    }
    lines.pop(); // the closing brace: the checksum goes before it
    let crc = crc32fast::hash(&lines[start..]);
    lines.extend_from_slice(CRC_OPEN);
    lines.extend_from_slice(format!("{crc:08x}").as_bytes());
    lines.extend_from_slice(CRC_CLOSE);
    lines.push(b'\n');
    Ok(())
}

/// Reads one line, given without its line feed.
pub(super) fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, BadLine> {
    let rest = line.strip_suffix(CRC_CLOSE).ok_or(BadLine::NoChecksum)?;
    let (rest, hex) =
        rest.split_at_checked(rest.len().wrapping_sub(CRC_HEX_BYTES)).ok_or(BadLine::NoChecksum)?;
    let content = rest.strip_suffix(CRC_OPEN).ok_or(BadLine::NoChecksum)?;
    if format!("{:08x}", crc32fast::hash(content)).as_bytes() != hex {
        return Err(BadLine::Checksum);
    }
    Ok(serde_json::from_slice(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let amount = Amount::new("GBP", 255).unwrap();
        let charge =
            Charge { card_token: "tok_approve".into(), amount, reference: "order \"1\"".into() };
        Record { seq: 1, at: 1_700_000_000_000, key: "key".into(), fact: Fact::Capture(charge) }
    }

    #[test]
    fn a_line_reads_back_as_its_record_and_as_plain_json() {
        let mut lines = Vec::new();
        encode(&record(), &mut lines).unwrap();
        let line = lines.strip_suffix(b"\n").unwrap();
        assert_eq!(decode::<Record>(line).unwrap(), record());
        let json: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(json["kind"], "capture");
        assert_eq!(json["amount"]["minor_units"], 255);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut lines = Vec::new();
        encode(&record(), &mut lines).unwrap();
        lines.pop();
        for bit in 0..lines.len() * 8 {
            let mut damaged = lines.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Record>(&damaged).is_err(), "bit {bit}: {}", damaged.escape_ascii());
        }
    }
}
