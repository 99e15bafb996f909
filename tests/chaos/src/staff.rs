//! A member of staff, who looks again and again for what is on its way back, and receives or refuses it.

use std::time::Duration;

use http::Method;
use kernel::{OrderId, ReturnId};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::calls::Wish;
use crate::customer::{About, Customer, read, understood};

const LOOKS_MS: std::ops::Range<u64> = 100..600;
/// Of a hundred returns.
const REFUSED: u32 = 20;
/// Of a hundred returns, at each look.
const LEFT_FOR_LATER: u32 = 20;

/// A return as staff sees it.
#[derive(Debug, Deserialize)]
struct Return {
    order_id: OrderId,
    return_id: ReturnId,
    items: Vec<Item>,
    refund: Money,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    product_id: String,
    quantity: i64,
}

#[derive(Debug, Deserialize)]
struct Money {
    minor_units: i64,
}

/// Calls as customers do.
pub(crate) struct Staff {
    caller: Customer,
    random: StdRng,
}

impl Staff {
    pub(crate) fn new(caller: Customer, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ (caller.number as u64 + 1));
        Self { caller, random }
    }

    /// Works until it is told that the shop closes.
    pub(crate) async fn work(mut self, closes: watch::Receiver<bool>) {
        while !*closes.borrow() {
            for found in self.on_their_way().await {
                match self.random.random_range(0..100) {
                    0..LEFT_FOR_LATER => {}
                    chance if chance < LEFT_FOR_LATER + REFUSED => self.refuse(&found).await,
                    _ => self.receive(&found).await,
                }
            }
            sleep(Duration::from_millis(self.random.random_range(LOOKS_MS))).await;
        }
    }

    fn gateway(&mut self) -> usize {
        self.random.random_range(0..2)
    }

    async fn on_their_way(&mut self) -> Vec<Return> {
        #[derive(Deserialize)]
        struct Page {
            returns: Vec<Return>,
        }
        let gateway = self.gateway();
        let answer = self.caller.send(gateway, Method::GET, "/v1/staff/returns", None, None).await;
        let page: Option<Page> = read(&understood(answer).1);
        page.map(|page| page.returns).unwrap_or_default()
    }

    async fn receive(&mut self, found: &Return) {
        let body = json!({ "items": found.items });
        self.decide(Wish::Receive, found, &body).await;
    }

    async fn refuse(&mut self, found: &Return) {
        self.decide(Wish::Refuse, found, &json!({ "reason": "it shows signs of use" })).await;
    }

    /// What is not answered is found again at the next look, or is done.
    async fn decide(&mut self, wish: Wish, found: &Return, body: &Value) {
        let Return { order_id: order, return_id, refund, .. } = found;
        let path = format!("/v1/staff/orders/{order}/returns/{return_id}/{}", wish.name());
        let key = return_id.to_string();
        let about =
            About { key: Some(&key), minor: refund.minor_units, ..About::order(wish, *order) };
        let gateway = self.gateway();
        self.caller.call(gateway, Method::POST, &path, Some(body), about).await;
    }
}
