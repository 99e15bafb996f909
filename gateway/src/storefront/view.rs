//! What pages show of what `/v1` answers. Text is escaped where a template writes it.

use std::borrow::Cow;

use proto::money::v1::Money;
use serde::Deserialize;

use super::pictures::Picture;

/// A product, as `/v1` answers it.
#[derive(Deserialize)]
pub(super) struct Product {
    pub(super) product_id: String,
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) category: String,
    price: Option<Amount>,
    pub(super) retired: bool,
    pub(super) available: i64,
}

#[derive(Deserialize)]
struct Amount {
    currency: String,
    minor_units: i64,
}

/// Products, in some order; a list or a ranking.
#[derive(Default, Deserialize)]
pub(super) struct Products {
    pub(super) products: Vec<Product>,
    #[serde(default)]
    pub(super) next_page_token: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Categories {
    pub(super) categories: Vec<Category>,
}

#[derive(Deserialize)]
pub(super) struct Category {
    pub(super) name: String,
    pub(super) products: i64,
}

impl Product {
    pub(super) fn price(&self) -> String {
        self.price.as_ref().map_or_else(String::new, |it| money(&it.currency, it.minor_units))
    }

    pub(super) fn picture(&self) -> Picture {
        Picture::of(&self.name, &self.category, &self.sku)
    }

    /// Availability in words, which may be a second old.
    pub(super) fn stock(&self) -> Cow<'static, str> {
        match self.available {
            _ if self.retired => "no longer on sale".into(),
            ..=0 => "out of stock".into(),
            few @ 1..=9 => format!("only {few} left").into(),
            _ => "in stock".into(),
        }
    }

    pub(super) fn is_on_sale(&self) -> bool {
        !self.retired && self.available > 0
    }
}

/// An amount for people: `£2.55`, and with its code what is no pound.
pub(super) fn money(currency: &str, minor_units: i64) -> String {
    let sign = if minor_units < 0 { "−" } else { "" };
    let (whole, rest) = (minor_units.unsigned_abs() / 100, minor_units.unsigned_abs() % 100);
    match currency {
        "GBP" => format!("{sign}£{whole}.{rest:02}"),
        other => format!("{sign}{other} {whole}.{rest:02}"),
    }
}

pub(super) fn amount(of: &Option<Money>) -> String {
    of.as_ref().map_or_else(String::new, |it| money(&it.currency, it.minor_units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_for_people() {
        for (currency, minor_units, text) in [
            ("GBP", 255, "£2.55"),
            ("GBP", 5, "£0.05"),
            ("GBP", 0, "£0.00"),
            ("GBP", -1999, "−£19.99"),
            ("EUR", 100, "EUR 1.00"),
            ("GBP", i64::MIN, "−£92233720368547758.08"),
        ] {
            assert_eq!(money(currency, minor_units), text);
        }
    }
}
