//! Money in integer minor units. Every operation is checked: an amount that does not fit is an
//! error at the edge, never a wrong number in a ledger.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An ISO 4217 code: three capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Pound sterling: what the shop's own catalogue is priced in.
    pub const GBP: Self = Self(*b"GBP");

    /// Parses a code. Errors: anything but three capital letters.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        match code.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(MoneyError::Currency),
        }
    }

    /// The code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???") // three ASCII letters: cannot fail
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).map_err(serde::de::Error::custom)
    }
}

/// An amount in the minor unit of its currency: GBP 2.55 is 255. May be negative in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// The amount in minor units.
    pub minor: i64,
}

/// Why an amount is invalid.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MoneyError {
    /// Not three capital letters.
    #[error("not a currency code")]
    Currency,
    /// Two currencies in one sum.
    #[error("different currencies")]
    Mixed,
    /// Beyond 64 bits.
    #[error("amount out of range")]
    Range,
}

impl Money {
    /// An amount in pence.
    pub fn gbp(minor: i64) -> Self {
        Self { currency: Currency::GBP, minor }
    }

    /// Nothing, in this currency.
    pub fn zero(currency: Currency) -> Self {
        Self { currency, minor: 0 }
    }

    /// The sum. Errors: other currency, out of range.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference. Errors: other currency, out of range.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// The amount multiplied by `quantity`. Error: out of range.
    pub fn times(self, quantity: i64) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(quantity).ok_or(MoneyError::Range)?;
        Ok(Self { minor, ..self })
    }

    fn combine(
        self,
        other: Self,
        operation: fn(i64, i64) -> Option<i64>,
    ) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed);
        }
        let minor = operation(self.minor, other.minor).ok_or(MoneyError::Range)?;
        Ok(Self { minor, ..self })
    }
}

impl fmt::Display for Money {
    /// `GBP 2.55`; two digits after the point, which holds for the currencies that we sell in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        let minor = self.minor.unsigned_abs();
        write!(f, "{} {sign}{}.{:02}", self.currency.code(), minor / 100, minor % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overflow_and_mixture_are_errors() {
        assert_eq!(Money::gbp(i64::MAX).plus(Money::gbp(1)), Err(MoneyError::Range));
        assert_eq!(Money::gbp(i64::MAX).times(2), Err(MoneyError::Range));
        let euro = Money::zero(Currency::parse("EUR").unwrap());
        assert_eq!(Money::gbp(1).plus(euro), Err(MoneyError::Mixed));
        assert_eq!(Currency::parse("gbp"), Err(MoneyError::Currency));
    }

    proptest! {
        #[test]
        fn minus_undoes_plus(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
            let sum = Money::gbp(a).plus(Money::gbp(b)).unwrap();
            prop_assert_eq!(sum.minus(Money::gbp(b)).unwrap(), Money::gbp(a));
        }

        #[test]
        fn text_keeps_every_minor_unit(minor in any::<i64>()) {
            let text = Money::gbp(minor).to_string();
            let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
            prop_assert_eq!(digits.parse::<i128>().unwrap(), i128::from(minor));
        }
    }
}
