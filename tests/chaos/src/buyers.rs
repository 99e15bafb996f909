//! What customers do, each in a way of its own, again and again until the faults are over. Their
//! choices are drawn from the seed, too; when they come to make them depends on the shop.

use std::sync::Arc;
use std::time::Duration;

use kernel::{OrderId, ReturnId};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::calls::Outcome;
use crate::customer::{Customer, Product};
use crate::seed::Goods;

/// Whoever has no answer asks again for so long.
const INSISTS: Duration = Duration::from_secs(20);
/// Whoever wants to send something back waits for it for so long.
const WAITS: Duration = Duration::from_secs(15);
const THINKS_MS: std::ops::Range<u64> = 50..400;
const KEEPS_MS: std::ops::Range<u64> = 200..2_500;
const AGAIN_MS: std::ops::Range<u64> = 50..500;

/// A way of buying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Buys, and asks again with the same key when the answer was lost.
    Plain,
    /// Wants the product of which there are few.
    Hot,
    /// Sends every checkout twice at once, to two gateways.
    DoubleClick,
    /// Changes its mind.
    Cancel,
    /// Sends a piece back, and sometimes says later that it was two.
    SendBack,
    /// Sends two checkouts with one key and two cards.
    OtherBody,
    /// Begins with an empty cart, puts something there, and looks whether it stays.
    Keep,
    /// Puts one piece in and orders, and again, and again, without a pause.
    Hasty,
}

/// Who comes, by number: as many of each kind as it stands here, again and again.
const CROWD: [Habit; 14] = [
    Habit::Plain,
    Habit::Hasty,
    Habit::Hot,
    Habit::DoubleClick,
    Habit::Cancel,
    Habit::Hasty,
    Habit::Hot,
    Habit::SendBack,
    Habit::Keep,
    Habit::Cancel,
    Habit::Hot,
    Habit::OtherBody,
    Habit::DoubleClick,
    Habit::SendBack,
];

/// A customer in the crowd.
pub(crate) struct Buyer {
    customer: Customer,
    habit: Habit,
    goods: Arc<Goods>,
    random: StdRng,
    rounds: u32,
    orders: Vec<OrderId>,
    /// A checkout of which nobody knows may be carried out at any time.
    unsure: bool,
}

impl Buyer {
    pub(crate) fn new(customer: Customer, goods: Arc<Goods>, seed: u64) -> Self {
        let habit = CROWD[customer.number % CROWD.len()];
        let random = StdRng::seed_from_u64(seed ^ (customer.number as u64 + 1));
        Self { customer, habit, goods, random, rounds: 0, orders: Vec::new(), unsure: false }
    }

    /// Buys until it is told that the shop closes.
    pub(crate) async fn buy(mut self, closes: watch::Receiver<bool>) -> Self {
        while !*closes.borrow() {
            self.round().await;
            self.pause(THINKS_MS).await;
        }
        self
    }

    /// After all is over: looks at every order that it was told of.
    pub(crate) async fn look_at_all(self) {
        for order in &self.orders {
            let (outcome, _) = self.customer.read(0, *order).await;
            if matches!(outcome, Outcome::Unknown(_)) {
                self.customer.read(1, *order).await;
            }
        }
    }

    async fn round(&mut self) {
        if self.habit == Habit::Hasty {
            return self.hasten().await;
        }
        self.rounds += 1;
        let product = self.choice();
        let quantity = match self.habit {
            Habit::Hot | Habit::Keep => 1,
            _ => self.random.random_range(1..4),
        };
        if self.habit == Habit::Keep && !self.has_an_empty_cart().await {
            return;
        }
        let gateway = self.gateway();
        if self.customer.put(gateway, &product, quantity).await != Outcome::Ok {
            return;
        }
        if self.habit == Habit::Keep {
            self.look_into_the_cart().await;
        }
        let key = format!("{}-{}", self.customer.number, self.rounds);
        match self.habit {
            Habit::DoubleClick => self.twice(&key, [0, 0]).await,
            Habit::OtherBody => self.twice(&key, [0, 1]).await,
            _ => {}
        }
        let Some(order) = self.insist(&key).await else {
            self.unsure = true;
            return;
        };
        self.orders.push(order);
        match self.habit {
            Habit::Cancel => self.change_mind(order).await,
            Habit::SendBack => self.send_back(order, &product).await,
            _ => self.linger(&key, order).await,
        }
    }

    /// Several orders, each of one piece that was put in just before. What was not sold comes back
    /// and is ordered with the next.
    async fn hasten(&mut self) {
        for _ in 0..self.random.random_range(2..6) {
            self.rounds += 1;
            let (product, gateway) = (self.choice(), self.gateway());
            if self.customer.hasten(gateway, &product).await != Outcome::Ok {
                return;
            }
            let key = format!("{}-{}", self.customer.number, self.rounds);
            let Some(order) = self.insist(&key).await else { return };
            self.orders.push(order);
        }
    }

    fn choice(&mut self) -> Product {
        let goods = &self.goods;
        match self.habit {
            Habit::Hot => goods.hot.clone(),
            Habit::Hasty => goods.many[self.rounds as usize % goods.many.len()].clone(),
            _ => goods.ordinary.choose(&mut self.random).unwrap_or(&goods.hot).clone(),
        }
    }

    fn gateway(&mut self) -> usize {
        self.random.random_range(0..2)
    }

    async fn pause(&mut self, range_ms: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.random.random_range(range_ms))).await;
    }

    /// Two calls at the same time.
    async fn twice(&self, key: &str, cards: [usize; 2]) {
        let one = self.customer.checkout(0, key, cards[0]);
        let other = self.customer.checkout(1, key, cards[1]);
        tokio::join!(one, other);
    }

    /// Asks with one key until there is an answer. When the key has another body, asks with that.
    async fn insist(&mut self, key: &str) -> Option<OrderId> {
        let (until, mut card) = (Instant::now() + INSISTS, 0);
        loop {
            let gateway = self.gateway();
            let (outcome, order) = self.customer.checkout(gateway, key, card).await;
            match outcome {
                Outcome::Ok => return order,
                Outcome::Failed(code) if code == REUSED && card == 0 => card = 1,
                Outcome::Failed(code) if code != IN_FLIGHT => return None,
                _ if Instant::now() >= until => return None,
                Outcome::Failed(_) | Outcome::Unknown(_) => self.pause(AGAIN_MS).await,
            }
        }
    }

    /// Waits until the last order has taken out what it bought.
    async fn has_an_empty_cart(&mut self) -> bool {
        let until = Instant::now() + WAITS;
        while Instant::now() < until {
            let gateway = self.gateway();
            match self.customer.pieces(gateway).await {
                Some(0) => return true,
                _ => self.pause(AGAIN_MS).await,
            }
        }
        false
    }

    /// Nothing but an order takes out what is there, and each order was waited for. (More may be
    /// there: a call whose answer was lost may be carried out late.)
    async fn look_into_the_cart(&mut self) {
        self.pause(KEEPS_MS).await;
        let gateway = self.gateway();
        let Some(there) = self.customer.pieces(gateway).await.filter(|_| !self.unsure) else {
            return;
        };
        let gone = || Outcome::Failed("what was put in the empty cart is not there".to_owned());
        self.customer.looked(if there > 0 { Outcome::Ok } else { gone() });
    }

    async fn change_mind(&mut self, order: OrderId) {
        self.pause(0..100).await;
        let until = Instant::now() + INSISTS;
        while Instant::now() < until {
            let gateway = self.gateway();
            match self.customer.cancel(gateway, order).await {
                Outcome::Unknown(_) => self.pause(AGAIN_MS).await,
                Outcome::Ok | Outcome::Failed(_) => return,
            }
        }
    }

    async fn send_back(&mut self, order: OrderId, product: &Product) {
        if !self.is_confirmed(order).await {
            return;
        }
        let (id, until) = (ReturnId::mint(), Instant::now() + INSISTS);
        let mut pieces = 1;
        while Instant::now() < until {
            let gateway = self.gateway();
            match self.customer.send_back(gateway, order, product, (id, pieces)).await {
                Outcome::Unknown(_) => self.pause(AGAIN_MS).await,
                Outcome::Ok if pieces == 1 && self.random.random_bool(0.5) => pieces = 2,
                Outcome::Ok | Outcome::Failed(_) => return,
            }
        }
    }

    async fn is_confirmed(&mut self, order: OrderId) -> bool {
        let until = Instant::now() + WAITS;
        while Instant::now() < until {
            let gateway = self.gateway();
            let (_, seen) = self.customer.read(gateway, order).await;
            match seen.as_ref().map(|seen| seen.state.as_str()) {
                Some("confirmed") => return true,
                Some("cancelled") => return false,
                _ => self.pause(AGAIN_MS).await,
            }
        }
        false
    }

    /// Sometimes looks at the order, sometimes sends the checkout again although it was answered.
    async fn linger(&mut self, key: &str, order: OrderId) {
        let gateway = self.gateway();
        match self.random.random_range(0..3) {
            0 => drop(self.customer.read(gateway, order).await),
            1 => drop(self.customer.checkout(gateway, key, 0).await),
            _ => {}
        }
    }
}

const REUSED: &str = "422 idempotency_key_reused";
const IN_FLIGHT: &str = "409 idempotency_key_in_flight";
