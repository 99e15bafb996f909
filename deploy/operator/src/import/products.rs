//! Products out of sales.

use std::collections::BTreeMap;

use time::PrimitiveDateTime;

use super::rows::Sale;
use crate::catalogue::{Line, pence};

/// More products than this are no month of a gift shop.
pub const PRODUCTS_MAX: usize = 200_000;
/// More names of one product than this are not kept apart.
const NAMES_MAX: usize = 32;
/// The most pieces that can be booked in at once.
const STOCK_MAX: i64 = 1_000_000_000;
/// What a gift shop sells.
const CATEGORY: &str = "Gifts";

/// What is known of all products so far.
#[derive(Clone, Debug, Default)]
pub struct Products {
    by_code: BTreeMap<String, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    /// In the order in which they were seen first, with how often.
    names: Vec<(String, u64)>,
    latest: PrimitiveDateTime,
    pence: i64,
    sold: i64,
}

impl Products {
    /// Takes in a sale.
    ///
    /// # Errors
    /// When there are too many products, or too many pieces of one.
    pub fn add(&mut self, sale: Sale) -> Result<(), String> {
        let Sale { code, description, quantity, at, pence, .. } = sale;
        let full = self.by_code.len() >= PRODUCTS_MAX;
        if full && !self.by_code.contains_key(&code) {
            return Err(format!("more than {PRODUCTS_MAX} products"));
        }
        let known = self.by_code.entry(code).or_insert_with(|| Known {
            names: Vec::new(),
            latest: at,
            pence,
            sold: 0,
        });
        known.sold += quantity;
        if known.sold > STOCK_MAX {
            return Err(format!("more than {STOCK_MAX} pieces of one product"));
        }
        // Of two sales at one time the later row is the later one.
        if at >= known.latest {
            (known.latest, known.pence) = (at, pence);
        }
        known.called(description);
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_code.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_code.is_empty()
    }

    /// As they are told to the shop, by code.
    pub fn into_lines(self, source: &str) -> Vec<Line> {
        let line = |(sku, known): (String, Known)| Line {
            source: source.to_owned(),
            name: known.name().unwrap_or(&sku).to_owned(),
            sku,
            description: String::new(),
            category: CATEGORY.to_owned(),
            price: pence(known.pence),
            opening_stock: known.sold,
        };
        self.by_code.into_iter().map(line).collect()
    }
}

impl Known {
    fn called(&mut self, name: String) {
        if name.is_empty() {
            return;
        }
        if let Some((_, count)) = self.names.iter_mut().find(|(known, _)| *known == name) {
            *count += 1;
        } else if self.names.len() < NAMES_MAX {
            self.names.push((name, 1));
        }
    }

    /// The most frequent one; of several the one that was seen first.
    fn name(&self) -> Option<&str> {
        let most = self.names.iter().map(|(_, count)| *count).max()?;
        self.names.iter().find(|(_, count)| *count == most).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn sale(code: &str, description: &str, quantity: i64, day: i64, pence: i64) -> Sale {
        Sale {
            code: code.into(),
            description: description.into(),
            quantity,
            at: datetime!(2010-12-01 08:00) + time::Duration::days(day),
            pence,
            customer: true,
        }
    }

    fn lines(sales: impl IntoIterator<Item = Sale>) -> Vec<Line> {
        let mut products = Products::default();
        sales.into_iter().for_each(|sale| products.add(sale).expect("within limits"));
        products.into_lines("hash")
    }

    #[test]
    fn name_price_and_stock() {
        let made = lines([
            sale("22423", "CAKE STAND", 6, 3, 1275),
            sale("22423", "REGENCY CAKESTAND", 2, 9, 1095),
            sale("22423", "", 1, 5, 2495),
            sale("22423", "REGENCY CAKESTAND", 1, 4, 1275),
        ]);
        let [line] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!(line.name, "REGENCY CAKESTAND", "the most frequent");
        assert_eq!(line.price, pence(1095), "the latest by date, not by row");
        assert_eq!(line.opening_stock, 10);
        assert_eq!((line.sku.as_str(), line.source.as_str()), ("22423", "hash"));
    }

    #[test]
    fn ties_go_to_the_name_seen_first_and_to_the_price_seen_last() {
        let made = lines([sale("1", "B", 1, 0, 100), sale("1", "A", 1, 0, 200)]);
        assert_eq!((made[0].name.as_str(), made[0].price.minor_units), ("B", 200));
    }

    #[test]
    fn a_product_without_any_description_is_called_by_its_code() {
        assert_eq!(lines([sale("22423", "", 1, 0, 100)])[0].name, "22423");
    }

    #[test]
    fn memory_and_stock_are_bounded() {
        let named = (0..1_000).map(|n| sale("1", &format!("name {n}"), 1, 0, 100));
        let mut products = Products::default();
        named.for_each(|sale| products.add(sale).expect("within limits"));
        assert_eq!(products.by_code["1"].names.len(), NAMES_MAX);
        assert!(products.add(sale("1", "", STOCK_MAX, 0, 1)).is_err());
    }
}
