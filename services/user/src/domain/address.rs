//! Where parcels go.

use std::fmt;

use kernel::AddressId;

use super::Rejection;
use super::fault::Check;

/// Maximum number of addresses of an account.
pub const ADDRESSES_MAX: i64 = 50;

/// A postal address.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Its id; of its account only.
    pub id: AddressId,
    /// Who receives: 1 to 100 characters.
    pub recipient: String,
    /// Street and number: 1 to 100 characters.
    pub line1: String,
    /// Whatever else: up to 100 characters.
    pub line2: String,
    /// 1 to 100 characters.
    pub city: String,
    /// 1 to 16 characters.
    pub postcode: String,
    /// ISO 3166-1 alpha-2, in capitals.
    pub country: String,
}

impl Address {
    /// The address, cleaned; or every field at fault.
    pub fn check(self) -> Result<Self, Rejection> {
        let mut check = Check::default();
        let address = Self {
            id: self.id,
            recipient: check.text("recipient", &self.recipient, 1, 100),
            line1: check.text("line1", &self.line1, 1, 100),
            line2: check.text("line2", &self.line2, 0, 100),
            city: check.text("city", &self.city, 1, 100),
            postcode: check.text("postcode", &self.postcode, 1, 16),
            country: check.field("country", country(&self.country)).unwrap_or_default(),
        };
        check.finish()?;
        Ok(address)
    }
}

fn country(code: &str) -> Result<String, String> {
    let code = code.trim().to_ascii_uppercase();
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(code)
    } else {
        Err("must be a country code of two letters, such as GB".to_owned())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, country: &str) -> Address {
        let text = || text.to_owned();
        Address {
            id: AddressId::mint(),
            recipient: text(),
            line1: text(),
            line2: text(),
            city: text(),
            postcode: text(),
            country: country.to_owned(),
        }
    }

    #[test]
    fn a_good_address_is_kept_clean() {
        let clean = address(" hidden ", "gb").check().unwrap();
        assert_eq!((clean.city.as_str(), clean.country.as_str()), ("hidden", "GB"));
        assert!(!format!("{clean:?}").contains("hidden"));
    }

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let fields = |address: Address| match address.check() {
            Err(Rejection::Invalid(faults)) => faults.iter().map(|fault| fault.field).collect(),
            _ => vec![],
        };
        let all_but_one = ["recipient", "line1", "city", "postcode", "country"];
        assert_eq!(fields(address("", "GBR")), all_but_one);
        assert_eq!(fields(address(&"x".repeat(17), "GB")), ["postcode"]);
        for bad in ["", "G", "1B", "É", "G\u{301}"] {
            assert_eq!(fields(address("x", bad)), ["country"], "{bad}");
        }
    }
}
