//! From a cart and prices to an order's lines.

use std::collections::HashMap;

use kernel::{Money, ProductId};

use super::{Line, Rejection, TotalChanged};

/// Real invoices have more than a thousand lines.
pub const LINES_MAX: usize = 2_000;

/// A product as it is sold at this moment.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its SKU.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// For one.
    pub price: Money,
    /// The one before, if it moved of late.
    pub previous_price: Option<Money>,
    /// Off sale.
    pub retired: bool,
}

/// Prices the items of a cart. Returns the lines, in the order of the cart, and their sum.
pub fn price(
    items: &[(ProductId, i64)],
    offers: &HashMap<ProductId, Offer>,
) -> Result<(Vec<Line>, Money), Rejection> {
    if items.is_empty() {
        return Err(Rejection::CartEmpty);
    }
    if items.len() > LINES_MAX {
        return Err(Rejection::TooManyLines { max: LINES_MAX });
    }
    let lines = items
        .iter()
        .map(|&(product, quantity)| line(product, quantity, offers.get(&product)))
        .collect::<Result<Vec<_>, _>>()?;
    let total = total(&lines).ok_or(Rejection::AmountOutOfRange)?;
    Ok((lines, total))
}

/// Refuses a total that is not the one that the customer has agreed to.
pub fn check_total(
    expected: Option<Money>,
    total: Money,
    lines: &[Line],
    offers: &HashMap<ProductId, Offer>,
) -> Result<(), Rejection> {
    match expected {
        Some(expected) if expected.currency != total.currency => Err(Rejection::ExpectedCurrency),
        Some(expected) if expected != total => {
            let before = |line: &Line| offers.get(&line.product)?.previous_price;
            let moved = lines.iter().filter_map(|line| Some((line.clone(), before(line)?)));
            Err(Rejection::TotalChanged(Box::new(TotalChanged { total, moved: moved.collect() })))
        }
        _ => Ok(()),
    }
}

fn line(product: ProductId, quantity: i64, offer: Option<&Offer>) -> Result<Line, Rejection> {
    match offer {
        Some(offer) if !offer.retired => Ok(Line {
            product,
            sku: offer.sku.clone(),
            name: offer.name.clone(),
            quantity,
            unit_price: offer.price,
            returned: 0,
            return_requested: 0,
        }),
        _ => Err(Rejection::ProductUnavailable(product)),
    }
}

fn total(lines: &[Line]) -> Option<Money> {
    let zero = Money::zero(lines.first()?.unit_price.currency);
    lines
        .iter()
        .try_fold(zero, |sum, line| sum.plus(line.unit_price.times(line.quantity).ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(price: i64) -> (ProductId, HashMap<ProductId, Offer>) {
        let product = ProductId::mint();
        let offer = Offer {
            sku: "CUP".into(),
            name: "cup".into(),
            price: Money::gbp(price),
            previous_price: None,
            retired: false,
        };
        (product, HashMap::from([(product, offer)]))
    }

    #[test]
    fn the_total_is_the_sum_of_the_lines() {
        let (cup, mut offers) = shop(255);
        let (bowl, more) = shop(100);
        offers.extend(more);
        let (lines, total) = price(&[(cup, 2), (bowl, 3)], &offers).unwrap();
        assert_eq!(total, Money::gbp(810));
        assert_eq!(lines.iter().map(|line| line.product).collect::<Vec<_>>(), [cup, bowl]);
    }

    #[test]
    fn another_total_than_was_agreed_to_is_refused_with_the_lines_that_moved() {
        let (cup, mut offers) = shop(255);
        let (bowl, more) = shop(100);
        offers.extend(more);
        offers.get_mut(&cup).unwrap().previous_price = Some(Money::gbp(240));
        let (lines, total) = price(&[(cup, 2), (bowl, 3)], &offers).unwrap();
        let check = |expected| check_total(expected, total, &lines, &offers);
        assert_eq!(check(None), Ok(()));
        assert_eq!(check(Some(Money::gbp(810))), Ok(()));
        let moved = vec![(lines[0].clone(), Money::gbp(240))];
        let changed = Rejection::TotalChanged(Box::new(TotalChanged { total, moved }));
        assert_eq!(check(Some(Money::gbp(780))), Err(changed));
        let euro = Money { currency: kernel::Currency::parse("EUR").unwrap(), minor: 810 };
        assert_eq!(check(Some(euro)), Err(Rejection::ExpectedCurrency));
    }

    #[test]
    fn what_cannot_be_sold_is_refused() {
        let (cup, mut offers) = shop(255);
        assert_eq!(price(&[], &offers).unwrap_err(), Rejection::CartEmpty);
        let gone = ProductId::mint();
        assert_eq!(price(&[(gone, 1)], &offers).unwrap_err(), Rejection::ProductUnavailable(gone));
        let too_many = vec![(cup, 1); LINES_MAX + 1];
        assert_eq!(price(&too_many, &offers).unwrap_err().code(), "too_many_lines");
        offers.get_mut(&cup).unwrap().price = Money::gbp(i64::MAX);
        assert_eq!(price(&[(cup, 2)], &offers).unwrap_err(), Rejection::AmountOutOfRange);
        offers.get_mut(&cup).unwrap().retired = true;
        assert_eq!(price(&[(cup, 1)], &offers).unwrap_err(), Rejection::ProductUnavailable(cup));
    }
}
