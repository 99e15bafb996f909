//! What staff may say of a product: the limits of every field.

use kernel::{Currency, Money};

use super::{Fault, Listing, Rejection};

/// Characters of a SKU, all of them visible ASCII.
pub const SKU_MAX: usize = 64;
/// Characters of a name.
pub const NAME_MAX: usize = 200;
/// Characters of a description.
pub const DESCRIPTION_MAX: usize = 4_000;
/// Characters of a category.
pub const CATEGORY_MAX: usize = 64;
/// Minor units: ten million pounds.
pub const PRICE_MAX: i64 = 1_000_000_000;
/// Pieces in one delivery.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Characters of a receipt that staff writes, all of them visible ASCII.
pub const RECEIPT_MAX: usize = 128;

/// A product as it is offered for the catalogue: everything but what we give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The key that the outside knows it by.
    pub sku: String,
    /// What it says on the label.
    pub listing: Listing,
    /// For one piece.
    pub price: Money,
    /// Pieces that come with it.
    pub opening_stock: i64,
}

impl Offer {
    /// Whether it can go into the catalogue. Names every field at fault.
    pub fn check(&self) -> Result<(), Rejection> {
        check_currency(self.price)?;
        let sku = visible(&self.sku, SKU_MAX);
        let stock = (0..=QUANTITY_MAX).contains(&self.opening_stock);
        faults(
            [
                (sku, "sku", "1 to 64 visible ASCII characters"),
                (price_in_range(self.price), "price", "more than 0 and at most 1000000000"),
                (stock, "opening_stock", "0 to 1000000000"),
            ]
            .into_iter()
            .chain(listing_rules(&self.listing)),
        )
    }
}

/// Whether a product can be called so.
pub fn check_listing(listing: &Listing) -> Result<(), Rejection> {
    faults(listing_rules(listing))
}

/// Whether a product can have this price.
pub fn check_price(price: Money) -> Result<(), Rejection> {
    check_currency(price)?;
    faults([(price_in_range(price), "price", "more than 0 and at most 1000000000")])
}

/// Whether a delivery can be booked in so.
pub fn check_receipt(receipt: &str, quantity: i64) -> Result<(), Rejection> {
    faults([
        (visible(receipt, RECEIPT_MAX), "receipt", "1 to 128 visible ASCII characters"),
        ((1..=QUANTITY_MAX).contains(&quantity), "quantity", "1 to 1000000000"),
    ])
}

/// Whether a file can be named so.
pub fn check_source(source: &str) -> Result<(), Rejection> {
    faults([(visible(source, SKU_MAX), "source", "1 to 64 visible ASCII characters")])
}

type Rule = (bool, &'static str, &'static str);

fn faults(rules: impl IntoIterator<Item = Rule>) -> Result<(), Rejection> {
    let broken = rules.into_iter().filter(|(holds, ..)| !holds);
    let faults: Vec<Fault> = broken.map(|(_, field, must_be)| Fault { field, must_be }).collect();
    if faults.is_empty() { Ok(()) } else { Err(Rejection::Invalid(faults)) }
}

fn listing_rules(listing: &Listing) -> [Rule; 3] {
    let Listing { name, description, category } = listing;
    let printable = |c: char| !c.is_control() || c == '\n' || c == '\t';
    let description =
        description.chars().all(printable) && description.chars().count() <= DESCRIPTION_MAX;
    [
        (line(name, NAME_MAX), "name", "1 to 200 characters on one line, not all blank"),
        (description, "description", "at most 4000 characters, no control characters"),
        (line(category, CATEGORY_MAX), "category", "1 to 64 characters on one line, not all blank"),
    ]
}

fn check_currency(price: Money) -> Result<(), Rejection> {
    if price.currency == Currency::GBP { Ok(()) } else { Err(Rejection::CurrencyNotSupported) }
}

fn price_in_range(price: Money) -> bool {
    (1..=PRICE_MAX).contains(&price.minor)
}

fn visible(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn line(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        let listing = Listing {
            name: "Café cup".into(),
            description: "Holds\n250 ml".into(),
            category: "Kitchen".into(),
        };
        Offer { sku: "CUP-1".into(), listing, price: Money::gbp(255), opening_stock: 10 }
    }

    fn fields(change: impl FnOnce(&mut Offer)) -> Vec<&'static str> {
        let mut offer = offer();
        change(&mut offer);
        match offer.check() {
            Ok(()) => Vec::new(),
            Err(Rejection::Invalid(faults)) => faults.iter().map(|fault| fault.field).collect(),
            Err(other) => vec![other.code()],
        }
    }

    #[test]
    fn the_limits_are_part_of_what_is_allowed() {
        assert!(fields(|_| ()).is_empty());
        assert!(fields(|o| o.sku = "x".repeat(64)).is_empty());
        assert!(fields(|o| o.listing.name = "ü".repeat(200)).is_empty());
        assert!(fields(|o| o.listing.description = "ü".repeat(4000)).is_empty());
        assert!(fields(|o| o.listing.description.clear()).is_empty());
        assert!(fields(|o| o.listing.category = "x".repeat(64)).is_empty());
        assert!(fields(|o| o.price = Money::gbp(1)).is_empty());
        assert!(fields(|o| o.price = Money::gbp(1_000_000_000)).is_empty());
        assert!(fields(|o| o.opening_stock = 0).is_empty());
        assert!(fields(|o| o.opening_stock = 1_000_000_000).is_empty());
    }

    #[test]
    fn a_field_beyond_its_limits_is_named() {
        for sku in ["", "two words", "tab\t", "café", &"x".repeat(65)] {
            assert_eq!(fields(|o| o.sku = sku.into()), ["sku"], "{sku:?}");
        }
        for name in ["", "  ", "two\nlines", "nul\0", &"x".repeat(201)] {
            assert_eq!(fields(|o| o.listing.name = name.into()), ["name"], "{name:?}");
        }
        for text in ["nul\0", "\u{7f}", &"x".repeat(4001)] {
            assert_eq!(fields(|o| o.listing.description = text.into()), ["description"]);
        }
        for category in ["", "\t", &"x".repeat(65)] {
            assert_eq!(fields(|o| o.listing.category = category.into()), ["category"]);
        }
        for price in [i64::MIN, -1, 0, 1_000_000_001, i64::MAX] {
            assert_eq!(fields(|o| o.price = Money::gbp(price)), ["price"], "{price}");
        }
        for stock in [i64::MIN, -1, 1_000_000_001, i64::MAX] {
            assert_eq!(fields(|o| o.opening_stock = stock), ["opening_stock"], "{stock}");
        }
    }

    #[test]
    fn all_faults_are_named_at_once_and_the_currency_by_a_code_of_its_own() {
        let all = fields(|o| {
            *o = Offer {
                sku: String::new(),
                listing: Listing::default(),
                price: Money::gbp(0),
                opening_stock: -1,
            }
        });
        assert_eq!(all, ["sku", "price", "opening_stock", "name", "category"]);
        let euro = Money::zero(Currency::parse("EUR").unwrap());
        assert_eq!(fields(|o| o.price = euro), ["currency_not_supported"]);
        assert_eq!(check_price(euro), Err(Rejection::CurrencyNotSupported));
    }

    #[test]
    fn receipts_have_limits_too() {
        assert_eq!(check_receipt("DN/2024-17", 1), Ok(()));
        for (receipt, quantity) in [("", 1), ("a b", 1), ("r", 0), ("r", -1), ("r", i64::MAX)] {
            assert!(check_receipt(receipt, quantity).is_err(), "{receipt:?} {quantity}");
        }
    }
}
