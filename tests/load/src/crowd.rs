//! Who does what next: customers whose cart is empty, and customers who could check out.
//!
//! A customer in the middle of something is in neither queue, so nobody does two things to one cart
//! at once. Queues are first in, first out, and whoever has bought rests until a quarter of all
//! customers has: the shop takes what was ordered out of the cart after the checkout was answered.

use std::collections::VecDeque;

/// A customer, by number.
pub type Customer = usize;

/// All customers.
#[derive(Clone, Debug)]
pub struct Crowd {
    empty: VecDeque<Customer>,
    filled: VecDeque<Customer>,
    /// So many rest.
    resting: usize,
}

impl Crowd {
    /// So many customers, each with something in the cart.
    pub fn new(customers: usize) -> Self {
        Self { empty: VecDeque::new(), filled: (0..customers).collect(), resting: customers / 4 }
    }

    /// Somebody who puts something into the cart: rather one whose cart is empty, and who has rested.
    pub fn to_add(&mut self) -> Option<Customer> {
        if self.empty.len() > self.resting {
            return self.empty.pop_front();
        }
        self.filled.pop_front().or_else(|| self.empty.pop_front())
    }

    /// Somebody who checks out; none when every filled cart is in use.
    pub fn to_checkout(&mut self) -> Option<Customer> {
        self.filled.pop_front()
    }

    /// The cart holds something.
    pub fn has_filled(&mut self, customer: Customer) {
        self.filled.push_back(customer);
    }

    /// The cart was bought, or what is in it is not known.
    pub fn has_emptied(&mut self, customer: Customer) {
        self.empty.push_back(customer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_does_one_thing_at_a_time() {
        let mut crowd = Crowd::new(3);
        let busy = [crowd.to_checkout(), crowd.to_add(), crowd.to_checkout()];
        assert_eq!(busy, [Some(0), Some(1), Some(2)]);
        assert_eq!((crowd.to_add(), crowd.to_checkout()), (None, None));
        crowd.has_emptied(0);
        assert_eq!(crowd.to_checkout(), None, "nothing to buy");
        assert_eq!(crowd.to_add(), Some(0), "nobody else is there");
    }

    #[test]
    fn whoever_has_bought_rests_while_a_quarter_of_all_buys() {
        let mut crowd = Crowd::new(100);
        let mut bought = [None; 100];
        // Two adds for each checkout, as in the mix.
        for round in 0..1_000 {
            let buyer = crowd.to_checkout().expect("somebody can");
            bought[buyer] = Some(round);
            crowd.has_emptied(buyer);
            for _ in 0..2 {
                let adder = crowd.to_add().expect("somebody can");
                let rested = bought[adder].take().is_none_or(|before| round - before >= 25);
                assert!(rested, "{adder} in round {round}");
                crowd.has_filled(adder);
            }
        }
        assert!(
            bought.iter().filter(|bought| bought.is_some()).count() <= 26,
            "the others can buy"
        );
    }
}
