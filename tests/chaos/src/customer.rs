//! A customer with an account, who writes down every answer. Nothing is sent twice behind its back:
//! whether to ask again is the customer's decision, and each try is a call of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use kernel::{OrderId, ReturnId};
use operator::api::{Api, bearer};
use operator::http::{Answer, Client, empty, full, is_success};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::calls::{Call, Calls, Outcome, Wish};

/// Longer than any deadline of the shop: who waits so long gets no answer any more.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// A product that can be bought.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) id: String,
}

/// How an order stands, as its customer sees it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) order_id: OrderId,
    pub(crate) state: String,
}

/// Somebody with an account, an address and two cards.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) number: usize,
    pub(crate) gateways: Vec<Client>,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) token: Mutex<String>,
    /// A checkout's body names one: two cards are two bodies.
    pub(crate) cards: [String; 2],
    pub(crate) calls: Arc<Calls>,
}

/// What a call is about, to be completed with its outcome.
pub(crate) struct About<'a> {
    pub(crate) wish: Wish,
    pub(crate) key: Option<&'a str>,
    pub(crate) body: u32,
    pub(crate) order: Option<OrderId>,
    pub(crate) minor: i64,
}

impl About<'_> {
    pub(crate) fn order(wish: Wish, order: OrderId) -> Self {
        Self { wish, key: None, body: 0, order: Some(order), minor: 0 }
    }
}

impl Customer {
    /// Wants so many of a product, and nothing else, in the cart.
    pub(crate) async fn put(&self, gateway: usize, product: &Product, quantity: i64) -> Outcome {
        let path = format!("/v1/cart/items/{}", product.id);
        let about = About { wish: Wish::Put, key: None, body: 0, order: None, minor: 0 };
        let body = json!({ "quantity": quantity });
        self.call(gateway, Method::PUT, &path, Some(&body), about).await.0
    }

    /// Wants one piece of a product in the cart, whatever else is there.
    pub(crate) async fn hasten(&self, gateway: usize, product: &Product) -> Outcome {
        let path = format!("/v1/cart/items/{}", product.id);
        let (wish, key) = (Wish::Hasten, Some(&*product.id));
        let about = About { wish, key, body: 0, order: None, minor: 0 };
        let body = json!({ "quantity": 1 });
        self.call(gateway, Method::PUT, &path, Some(&body), about).await.0
    }

    /// Orders what is in the cart, with this key and the first or the second card.
    pub(crate) async fn checkout(
        &self,
        gateway: usize,
        key: &str,
        card: usize,
    ) -> (Outcome, Option<OrderId>) {
        let body = json!({ "payment_method_id": self.cards[card] });
        let number = u32::from(card == 1);
        let about =
            About { wish: Wish::Checkout, key: Some(key), body: number, order: None, minor: 0 };
        let (outcome, body) =
            self.call(gateway, Method::POST, "/v1/orders", Some(&body), about).await;
        (outcome, read::<Seen>(&body).map(|seen| seen.order_id))
    }

    /// Wants out.
    pub(crate) async fn cancel(&self, gateway: usize, order: OrderId) -> Outcome {
        let path = format!("/v1/orders/{order}/cancel");
        let about = About::order(Wish::Cancel, order);
        self.call(gateway, Method::POST, &path, None, about).await.0
    }

    /// Sends so many pieces back; the same id is the same return.
    pub(crate) async fn send_back(
        &self,
        gateway: usize,
        order: OrderId,
        product: &Product,
        (id, quantity): (ReturnId, u32),
    ) -> Outcome {
        let path = format!("/v1/orders/{order}/returns");
        let items = json!([{ "product_id": product.id, "quantity": quantity }]);
        let body = json!({ "items": items });
        let key = id.to_string();
        let about = About { key: Some(&key), body: quantity, ..About::order(Wish::Return, order) };
        self.call(gateway, Method::POST, &path, Some(&body), about).await.0
    }

    /// How an order stands.
    pub(crate) async fn read(&self, gateway: usize, order: OrderId) -> (Outcome, Option<Seen>) {
        let path = format!("/v1/orders/{order}");
        let about = About::order(Wish::Read, order);
        let (outcome, body) = self.call(gateway, Method::GET, &path, None, about).await;
        (outcome, read(&body))
    }

    /// How many pieces are in the cart; none when nobody says.
    pub(crate) async fn pieces(&self, gateway: usize) -> Option<i64> {
        #[derive(Deserialize)]
        struct Cart {
            items: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            quantity: i64,
        }
        let answer = self.send(gateway, Method::GET, "/v1/cart", None, None).await;
        let (_, body) = understood(answer);
        let cart: Option<Cart> = read(&body);
        cart.map(|cart| cart.items.iter().map(|item| item.quantity).sum())
    }

    /// Writes down what became of something that was put in the cart and not ordered.
    pub(crate) fn looked(&self, outcome: Outcome) {
        let (customer, wish) = (self.number, Wish::Keep);
        self.calls.note(Call {
            customer,
            wish,
            key: None,
            body: 0,
            order: None,
            minor: 0,
            outcome,
        });
    }

    pub(crate) async fn call(
        &self,
        gateway: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
        about: About<'_>,
    ) -> (Outcome, Bytes) {
        let answer = self.send(gateway, method, path, body, about.key).await;
        let (outcome, body) = understood(answer);
        let placed: Option<Seen> = read(&body).filter(|_| about.wish == Wish::Checkout);
        self.calls.note(Call {
            customer: self.number,
            wish: about.wish,
            key: about.key.map(str::to_owned),
            body: about.body,
            order: about.order.or(placed.map(|seen| seen.order_id)),
            minor: about.minor,
            outcome: outcome.clone(),
        });
        if matches!(&outcome, Outcome::Failed(code) if code.starts_with("401")) {
            self.sign_in_again(gateway).await;
        }
        (outcome, body)
    }

    pub(crate) async fn send(
        &self,
        gateway: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Answer> {
        let client = &self.gateways[gateway % self.gateways.len()];
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = client.request(method, path).header(AUTHORIZATION, bearer(&token)?);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let request = match body {
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(full(serde_json::to_vec(body)?))?,
            None => request.body(empty())?,
        };
        client.send(request, ANSWER_MAX).await
    }

    /// Tokens live for ten minutes. One that cannot be renewed now is renewed after the next refusal.
    async fn sign_in_again(&self, gateway: usize) {
        let api = Api::new(self.gateways[gateway % self.gateways.len()].base());
        if let Ok(fresh) = api.sign_in(&self.email, &self.password).await {
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }
}

/// What an answer says of what was done, and its body if it was done. A 5xx may have been said after
/// it was done.
pub(crate) fn understood(answer: Result<Answer>) -> (Outcome, Bytes) {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        code: String,
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Outcome::Unknown(format!("{error:#}")), Bytes::new()),
    };
    if is_success(answer.status) {
        return (Outcome::Ok, answer.body);
    }
    let Problem { code } = read(&answer.body).unwrap_or_default();
    let told = format!("{} {code}", answer.status);
    match answer.status {
        500.. => (Outcome::Unknown(told), Bytes::new()),
        _ => (Outcome::Failed(told), Bytes::new()),
    }
}

pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Result<Answer> {
        Ok(Answer { status, headers: http::HeaderMap::new(), body: body.as_bytes().into() })
    }

    #[test]
    fn only_a_refusal_says_that_nothing_was_done() {
        let failed = |code: &str| Outcome::Failed(code.to_owned());
        let problem = r#"{"code":"cart_empty"}"#;
        assert_eq!(understood(answer(409, problem)).0, failed("409 cart_empty"));
        assert_eq!(understood(answer(400, "<html>")).0, failed("400 "));
        for status in [500, 502, 503, 504] {
            assert!(matches!(understood(answer(status, problem)).0, Outcome::Unknown(_)));
        }
        let lost = Err(anyhow::anyhow!("connection reset"));
        assert!(matches!(understood(lost).0, Outcome::Unknown(_)));
        let id = OrderId::mint();
        let body = format!(r#"{{"order_id":"{id}","state":"placed","total":1}}"#);
        let (outcome, body) = understood(answer(202, body.leak()));
        let seen = read::<Seen>(&body).map(|seen| seen.order_id);
        assert_eq!((outcome, seen), (Outcome::Ok, Some(id)));
    }
}
