//! Which products of an order count as bought together.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kernel::{OrderId, ProductId};

use super::stock::Line;

/// So many products of an order are paired at most, which is 12 pairs. Of a larger order they are chosen at random: 2,000 lines
/// would be four million pairs, and outweigh every other order.
const PRODUCTS_MAX: usize = 4;

/// The pairs of different products that an order counts for, each from both sides.
pub fn pairs(order: OrderId, lines: &[Line]) -> Vec<(ProductId, ProductId)> {
    let mut products: Vec<ProductId> = lines.iter().map(|line| line.product).collect();
    products.sort_by_cached_key(|product| {
        let mut hasher = DefaultHasher::new();
        (order, product).hash(&mut hasher);
        hasher.finish()
    });
    products.truncate(PRODUCTS_MAX);
    let with = |one: ProductId| products.iter().map(move |other| (one, *other));
    products.iter().flat_map(|one| with(*one)).filter(|(one, other)| one != other).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::stock::lines;

    #[test]
    fn all_products_of_a_small_order_are_paired_and_one_alone_is_not() {
        let [cup, plate] = [(); 2].map(|()| ProductId::mint());
        let order = OrderId::mint();
        let mut both = pairs(order, &lines([(cup, 3), (plate, 1)]));
        both.sort();
        let mut expected = vec![(cup, plate), (plate, cup)];
        expected.sort();
        assert_eq!(both, expected);
        assert_eq!(pairs(order, &lines([(cup, 7)])), []);
        assert_eq!(pairs(order, &[]), []);
    }

    #[test]
    fn four_products_of_a_large_order_are_paired_and_all_pairs_are_as_frequent() {
        let products: Vec<ProductId> = (0..8).map(|_| ProductId::mint()).collect();
        let lines = lines(products.iter().map(|product| (*product, 1)));
        let mut seen = BTreeMap::<_, usize>::new();
        for _ in 0..2_000 {
            let pairs = pairs(OrderId::mint(), &lines);
            assert_eq!(pairs.len(), 12);
            for pair in pairs {
                *seen.entry(pair).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), 8 * 7, "each product with each other");
        // 429 on average, deviation 18.
        assert!(seen.values().all(|count| (300..560).contains(count)), "{seen:?}");
    }
}
