//! A customer, and staff, at the shop's HTTP API.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use kernel::OrderId;
use operator::Shop;
use operator::api::Api;
use operator::http::Answer;
use operator::secrets::STAFF_EMAIL;
use serde_json::{Value, json};
use testkit::eventually;

/// Whatever goes on by itself has come to its end after so long.
pub const SETTLED: Duration = Duration::from_secs(60);
/// Every shopper's.
pub const PASSWORD: &str = "correct horse battery";

/// Somebody with an account, an address and a card.
pub struct Shopper {
    /// The shop, as they call it.
    pub api: Api,
    /// Theirs alone.
    pub email: String,
    /// Says who they are.
    pub token: String,
    /// The id of their payment method.
    pub card: String,
}

impl Shopper {
    /// With a card that is good.
    ///
    /// # Errors
    /// When the shop refuses something.
    pub async fn new(shop: &Shop) -> Result<Self> {
        Self::with_card(shop, "tok_approve").await
    }

    /// With this card of the provider's test cards.
    ///
    /// # Errors
    /// When the shop refuses something.
    pub async fn with_card(shop: &Shop, card_token: &str) -> Result<Self> {
        let api = Api::new(&shop.urls()[0]);
        let email = format!("{}@example.com", fresh());
        let body = json!({ "email": email, "password": PASSWORD, "name": "Zohra" });
        api.post("/v1/users", None, &body).await?;
        let token = api.sign_in(&email, PASSWORD).await?;
        let address = json!({ "recipient": "Zohra", "line1": "1 Gate", "city": "Fes",
            "postcode": "30000", "country": "MA" });
        api.post("/v1/me/addresses", Some(&token), &address).await?;
        let card = json!({ "card_token": card_token });
        let card = api.post("/v1/payment-methods", Some(&token), &card).await?;
        let card = text(&card.json::<Value>()?, "payment_method_id");
        Ok(Self { api, email, token, card })
    }

    /// What there is to read.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.api.get(path, Some(&self.token)).await?.json()
    }

    /// What comes of a command.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.api.post(path, Some(&self.token), body).await?.json()
    }

    /// So many of a product, instead of what was there. Answers the cart.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn put_in_cart(&self, product: &str, quantity: i64) -> Result<Value> {
        let path = format!("/v1/cart/items/{product}");
        let body = json!({ "quantity": quantity });
        self.api.call(Method::PUT, &path, Some(&self.token), Some(&body), &[]).await?.json()
    }

    /// The same for one piece, without the cart as the answer: a large one is large to read.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn put_in_cart_quietly(&self, product: &str) -> Result<()> {
        let path = format!("/v1/cart/items/{product}");
        let body = json!({ "quantity": 1 });
        let headers = [("prefer", "return=minimal")];
        let put = self.api.call(Method::PUT, &path, Some(&self.token), Some(&body), &headers);
        put.await.map(drop)
    }

    /// Checks out with this key; the answer as it came.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn checkout(&self, key: &str) -> Result<Answer> {
        let body = json!({ "payment_method_id": self.card });
        self.checkout_with(key, &body).await
    }

    /// The same with any body.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn checkout_with(&self, key: &str, body: &Value) -> Result<Answer> {
        let headers = [("idempotency-key", key)];
        self.api.call(Method::POST, "/v1/orders", Some(&self.token), Some(body), &headers).await
    }

    /// Orders so many of a product. Answers the order as it was accepted.
    ///
    /// # Errors
    /// When the shop refuses it, or does not say where the order is.
    pub async fn order(&self, product: &str, quantity: i64) -> Result<Value> {
        self.put_in_cart(product, quantity).await?;
        let answer = self.checkout(&fresh()).await?;
        ensure!(answer.status == 202, "{}", answer.status);
        let order: Value = answer.json()?;
        let location = answer.header("location").context("no Location")?;
        ensure!(location == format!("/v1/orders/{}", text(&order, "order_id")), "{location}");
        Ok(order)
    }

    /// The same while processes die: whoever gets no order tries again, with the same key.
    ///
    /// # Errors
    /// When the answer is no order.
    pub async fn order_patiently(&self, product: &str) -> Result<Value> {
        let key = fresh();
        let what = format!("an order of {product}");
        let answer = eventually(&what, SETTLED, async || {
            self.put_in_cart(product, 1).await.ok()?;
            self.checkout(&key).await.ok()
        });
        answer.await.json()
    }

    /// Waits until what was ordered has been taken out.
    pub async fn cart_is_empty(&self) {
        eventually("the cart is empty", SETTLED, async || {
            let cart = self.get("/v1/cart").await.ok()?;
            cart["items"].as_array()?.is_empty().then_some(())
        })
        .await;
    }

    /// Asks to send so many of a product back. Answers the order with the return.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn send_back(
        &self,
        order: &Value,
        return_id: &str,
        product: &str,
        quantity: i64,
    ) -> Result<Value> {
        let path = format!("/v1/orders/{}/returns", text(order, "order_id"));
        let items = json!([{ "product_id": product, "quantity": quantity }]);
        self.post(&path, &json!({ "return_id": return_id, "items": items })).await
    }

    /// Waits until the order has been refunded in part.
    pub async fn is_refunded(&self, order: &Value, minor_units: i64) {
        let path = format!("/v1/orders/{}", text(order, "order_id"));
        eventually("the refund", SETTLED, async || {
            let order = self.get(&path).await.ok()?;
            (order["refunded"] == gbp(minor_units)).then_some(())
        })
        .await;
    }

    /// Waits until the order is in this state.
    ///
    /// # Errors
    /// Never: it panics when it takes too long.
    pub async fn reaches(&self, order: &Value, state: &str) -> Result<Value> {
        let path = format!("/v1/orders/{}", text(order, "order_id"));
        let what = format!("{path} is {state}");
        Ok(eventually(&what, SETTLED, async || {
            let order = self.get(&path).await.ok()?;
            (order["state"] == *state).then_some(order)
        })
        .await)
    }

    /// Waits until the checkout is over.
    ///
    /// # Errors
    /// Never: it panics when it takes too long.
    pub async fn settles(&self, order: &Value) -> Result<Value> {
        let path = format!("/v1/orders/{}", text(order, "order_id"));
        Ok(eventually(&format!("{path} settles"), SETTLED, async || {
            let order = self.get(&path).await.ok()?;
            ["confirmed", "cancelled"].iter().any(|end| order["state"] == *end).then_some(order)
        })
        .await)
    }
}

/// Who keeps the catalogue.
pub struct Staff {
    /// The shop, as they call it.
    pub api: Api,
    /// Says who they are.
    pub token: String,
}

impl Staff {
    /// Signs in.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn new(shop: &Shop) -> Result<Self> {
        let api = Api::new(&shop.urls()[0]);
        let token = api.sign_in(STAFF_EMAIL, &shop.staff_password()?).await?;
        Ok(Self { api, token })
    }

    /// Adds a product at 2.50. Answers its id.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn product(&self, stock: i64) -> Result<String> {
        let sku = fresh();
        let body = json!({ "sku": sku, "name": format!("tea glass {sku}"), "description": "",
            "category": "Glass", "price": gbp(250), "opening_stock": stock });
        let added = self.api.post("/v1/staff/products", Some(&self.token), &body).await?;
        Ok(text(&added.json::<Value>()?, "product_id"))
    }

    /// Receives so many of a product that come back. Answers the return.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn receive(
        &self,
        order: &Value,
        return_id: &str,
        product: &str,
        quantity: i64,
    ) -> Result<Value> {
        let order = text(order, "order_id");
        let path = format!("/v1/staff/orders/{order}/returns/{return_id}/receive");
        let items = json!([{ "product_id": product, "quantity": quantity }]);
        self.api.post(&path, Some(&self.token), &json!({ "items": items })).await?.json()
    }

    /// A product's stock.
    ///
    /// # Errors
    /// When the shop refuses it.
    pub async fn stock(&self, product: &str) -> Result<Value> {
        let path = format!("/v1/staff/products/{product}/stock");
        self.api.get(&path, Some(&self.token)).await?.json()
    }

    /// Waits until the stock is on hand, reserved and shipped like this.
    pub async fn stock_is(&self, product: &str, on_hand: i64, reserved: i64, shipped: i64) {
        let what = format!("stock {on_hand}/{reserved}/{shipped}");
        eventually(&what, SETTLED, async || {
            let stock = self.stock(product).await.ok()?;
            let is = |name: &str, number: i64| stock[name] == number;
            (is("on_hand", on_hand) && is("reserved", reserved) && is("shipped", shipped))
                .then_some(())
        })
        .await;
    }
}

/// What the payment provider has booked for an order: captured and refunded, in minor units, and
/// the number of captures.
///
/// # Errors
/// When the provider does not answer.
pub async fn booked(shop: &Shop, order: &Value) -> Result<(i64, i64, usize)> {
    let psp = Api::new(&shop.psp_url());
    let (mut captured, mut refunded, mut captures) = (0, 0, 0);
    let mut after = json!(0);
    while !after.is_null() {
        let page: Value = psp.get(&format!("/v1/ledger?after={after}"), None).await?.json()?;
        let entries = page["entries"].as_array().context("no entries")?;
        for entry in entries.iter().filter(|entry| entry["reference"] == order["order_id"]) {
            let amount = entry["amount"]["minor_units"].as_i64().context("no amount")?;
            if entry["kind"] == "capture" {
                (captured, captures) = (captured + amount, captures + 1);
            } else {
                refunded += amount;
            }
        }
        after = page["next"].clone();
    }
    Ok((captured, refunded, captures))
}

/// A name that nobody else has.
pub fn fresh() -> String {
    OrderId::mint().to_string()
}

/// So many pence.
pub fn gbp(minor_units: i64) -> Value {
    json!({ "currency": "GBP", "minor_units": minor_units })
}

/// A field that must be text.
///
/// # Panics
/// When it is not.
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// The refusal that must have come: status and code.
///
/// # Errors
/// When something else came.
pub fn refusal<T>(result: Result<T>) -> Result<(u16, String)> {
    let error = result.err().context("it was not refused")?;
    let refusal = error.downcast::<operator::api::Refusal>()?;
    Ok((refusal.status, refusal.code))
}
