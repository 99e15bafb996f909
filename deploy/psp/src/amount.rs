//! Money as it travels in a request: a currency and a count of its minor units, never a float.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A positive sum of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Amount {
    currency: Currency,
    minor_units: i64,
}

/// Three upper-case letters, as in ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// An amount as the request has it, not checked yet.
#[derive(Deserialize)]
pub struct RawAmount<'a> {
    #[serde(borrow)]
    currency: Cow<'a, str>,
    minor_units: i64,
}

/// Why an amount is invalid.
#[derive(Debug, thiserror::Error)]
pub enum BadAmount {
    /// Not three upper-case ASCII letters.
    #[error("currency must be three upper-case letters")]
    Currency,
    /// Zero or negative.
    #[error("minor_units must be above zero")]
    NotPositive,
}

impl Amount {
    /// Checks an amount: `minor_units` above zero, in a currency such as `GBP`.
    pub fn new(currency: &str, minor_units: i64) -> Result<Self, BadAmount> {
        let currency = Currency::parse(currency).ok_or(BadAmount::Currency)?;
        if minor_units <= 0 {
            return Err(BadAmount::NotPositive);
        }
        Ok(Self { currency, minor_units })
    }

    /// The currency of the sum.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The sum in minor units (pence for GBP); above zero.
    pub fn minor_units(&self) -> i64 {
        self.minor_units
    }
}

impl TryFrom<RawAmount<'_>> for Amount {
    type Error = BadAmount;

    fn try_from(raw: RawAmount<'_>) -> Result<Self, BadAmount> {
        Self::new(&raw.currency, raw.minor_units)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawAmount::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl Currency {
    fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???") // parse lets ASCII letters in and nothing else
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
