//! How an action is done, in two parts: what is done before a service is armed, and what leads it to its
//! point. Whoever gets no answer tries again, as people do.

use anyhow::{Result, ensure};
use e2e::shopper::{PASSWORD, Shopper, Staff, booked, fresh, gbp, text};
use futures_util::future::{try_join, try_join_all};
use http::Method;
use operator::Signal;
use operator::api::Imported;
use operator::catalogue::{self, Line};
use serde_json::{Value, json};
use stores::Server;

use crate::actions::Action;
use crate::world::{World, until};

/// How many buy at one moment: enough that some of them are written together.
const CROWD: usize = 16;

/// An action on its way.
pub struct Story {
    action: Action,
    shopper: Shopper,
    product: String,
    /// Whatever is sent again is sent with this.
    key: String,
    /// Once the shop has accepted it.
    order: Option<Value>,
    /// The others, who do the same.
    crowd: Vec<Story>,
}

impl Story {
    /// Everything up to the moment in question.
    pub async fn begin(action: Action, world: &World) -> Result<Self> {
        let card = match action {
            Action::BuysByABadLine => "tok_lost",
            Action::Cancels | Action::Waits => "tok_hang",
            Action::BuysInVain => "tok_decline",
            _ => "tok_approve",
        };
        let customer = async || Shopper::with_card(&world.shop, card).await.ok();
        let shopper = until("a customer", customer).await;
        let product = match action {
            Action::Delivers | Action::BuysAgain => world.staff.product(1).await?,
            _ => world.product.clone(),
        };
        let mut story =
            Self { action, shopper, product, key: fresh(), order: None, crowd: Vec::new() };
        story.lead_up(world).await?;
        Ok(story)
    }

    async fn lead_up(&mut self, world: &World) -> Result<()> {
        let shopper = &self.shopper;
        match self.action {
            Action::Registers | Action::Delivers | Action::Imports => {}
            Action::Buys | Action::BuysByABadLine | Action::BuysAgain | Action::BuysInVain => {
                self.fill_the_cart().await;
            }
            Action::ManyBuy => self.gather_a_crowd(world).await?,
            Action::SignsIn => self.fill_a_guests_cart().await?,
            Action::Pays | Action::Cancels => {
                if self.action == Action::Pays {
                    world.shop.kill("psp", Signal::STOP)?;
                }
                self.order = Some(shopper.order_patiently(&self.product).await?);
                self.payment_is("pending").await;
            }
            Action::BuysAndGoesOn => {
                world.shop.stop_store(Server::Nats).await?;
                self.order = Some(shopper.order_patiently(&self.product).await?);
                shopper.put_in_cart(&self.product, 2).await?;
            }
            Action::Waits => {
                world.restart("order", &[("SOUK_CHECKOUT_DEADLINE", "4s")]).await?;
                self.order = Some(shopper.order_patiently(&self.product).await?);
            }
            Action::Returns | Action::Receives | Action::LosesTheBus => {
                let order = shopper.order_patiently(&self.product).await?;
                let order = shopper.reaches(&order, "confirmed").await?;
                if self.action == Action::Receives {
                    shopper.send_back(&order, &self.key, &self.product, 1).await?;
                }
                self.order = Some(order);
                world.quiet().await?;
            }
            Action::Erases => {
                let order = shopper.order_patiently(&self.product).await?;
                self.order = Some(shopper.reaches(&order, "confirmed").await?);
                shopper.cart_is_empty().await;
                self.fill_the_cart().await;
                self.key = text(&shopper.get("/v1/me").await?, "user_id");
                world.quiet().await?;
            }
        }
        Ok(())
    }

    /// What leads an armed service to its point, over and over until there is an answer.
    pub async fn go_on(&mut self, world: &World) -> Result<()> {
        let shopper = &self.shopper;
        match self.action {
            Action::Buys | Action::BuysByABadLine | Action::BuysInVain => {
                self.order = Some(self.check_out(&self.key).await?);
            }
            Action::ManyBuy => self.all_buy().await?,
            Action::BuysAgain => {
                let first = self.check_out(&self.key).await?;
                ensure!(bought(&first) == [(&*self.product, 1)], "{first}");
                self.product.clone_from(&world.product);
                self.fill_the_cart().await;
                let second = self.check_out(&fresh()).await?;
                ensure!(bought(&second) == [(&*self.product, 1)], "bought before: {second}");
                self.order = Some(second);
                self.shopper.reaches(&first, "confirmed").await?;
            }
            Action::Pays => world.shop.kill("psp", Signal::CONT)?,
            Action::BuysAndGoesOn => world.shop.start_store(Server::Nats).await?,
            Action::Cancels => self.insist("cancel", &json!({})).await,
            Action::Waits => {}
            Action::Returns => {
                let order = self.order.as_ref().unwrap_or(&Value::Null);
                let send =
                    async || shopper.send_back(order, &self.key, &self.product, 1).await.ok();
                until("an accepted return", send).await;
            }
            Action::Receives => self.receive(world).await,
            Action::Registers => self.register().await,
            Action::SignsIn => self.sign_in().await,
            Action::Delivers => self.deliver(world).await,
            Action::Imports => {
                let _counts = until("an import", async || self.import(world).await.ok()).await;
            }
            Action::Erases => {
                let (api, token) = (&shopper.api, Some(&*shopper.token));
                let erase =
                    async || api.call(Method::DELETE, "/v1/me", token, None, &[]).await.ok();
                drop(until("an end of the account", erase).await);
            }
            Action::LosesTheBus => lose_the_bus(world).await?,
        }
        Ok(())
    }

    /// Whether everything has come out as it has to.
    #[expect(clippy::too_many_lines, reason = "a list: an arm for each variant")]
    pub async fn end(&self, world: &World) -> Result<()> {
        match self.action {
            Action::Buys | Action::BuysAgain | Action::Pays | Action::BuysByABadLine => {
                self.is_confirmed().await?;
            }
            Action::ManyBuy => {
                self.is_confirmed().await?;
                for story in &self.crowd {
                    Box::pin(story.end(world)).await?;
                }
            }
            Action::BuysInVain => {
                self.is_cancelled("payment_declined").await?;
                self.has_it_back().await;
            }
            Action::BuysAndGoesOn => {
                let order = self.order.as_ref().unwrap_or(&Value::Null);
                self.shopper.reaches(order, "confirmed").await?;
                world.has_heard("cart", "order").await?;
                let cart = self.shopper.get("/v1/cart").await?;
                ensure!(cart["total"] == gbp(2 * 250), "what came after the order stays: {cart}");
            }
            Action::Cancels => self.is_cancelled("customer").await?,
            Action::Waits => {
                self.is_cancelled("deadline").await?;
                self.has_it_back().await;
            }
            Action::Returns | Action::Receives => {
                self.receive(world).await;
                let order = self.order.as_ref().unwrap_or(&Value::Null);
                self.shopper.is_refunded(order, 250).await;
            }
            Action::Registers => self.register().await,
            Action::SignsIn => {
                let cart = until("the cart", async || self.shopper.get("/v1/cart").await.ok());
                let cart = cart.await;
                ensure!(cart["total"] == gbp(3 * 250), "merged once: {cart}");
            }
            Action::Delivers => world.staff.stock_is(&self.product, 6, 0, 0).await,
            Action::Imports => {
                let again = self.import(world).await?;
                ensure!((again.unchanged, again.stock_received) == (1, 0), "{again:?}");
                let found = self.shopper.get(&format!("/v1/products?sku={}", self.key)).await?;
                let product = text(&found["products"][0], "product_id");
                world.staff.stock_is(&product, 5, 0, 0).await;
            }
            Action::Erases => {
                let api = &self.shopper.api;
                ensure!(api.sign_in(&self.shopper.email, PASSWORD).await.is_err(), "still there");
                // Nobody may look at it any more.
                let cart = format!("select state from carts where cart_id = '{}'", self.key);
                until("an erased cart", async || {
                    (world.sql("cart", &cart).ok()? == "erased").then_some(())
                })
                .await;
                let lines = format!("select * from cart_lines where cart_id = '{}'", self.key);
                ensure!(world.sql("cart", &lines)?.is_empty(), "and has lines");
            }
            Action::LosesTheBus => {
                let order = self.shopper.order_patiently(&self.product).await?;
                self.shopper.reaches(&order, "confirmed").await?;
            }
        }
        let Some(order) = &self.order else { return Ok(()) };
        let wanted = match self.action {
            Action::Cancels | Action::Waits | Action::BuysInVain => (0, 0, 0),
            Action::Returns | Action::Receives => (250, 250, 1),
            _ => (250, 0, 1),
        };
        let booked = booked(&world.shop, order).await?;
        ensure!(booked == wanted, "the provider has {booked:?} and not {wanted:?}: {order}");
        Ok(())
    }

    /// The orders that the shop has accepted.
    pub fn orders(&self) -> impl Iterator<Item = &Value> {
        self.order.iter().chain(self.crowd.iter().flat_map(|story| &story.order))
    }

    async fn is_confirmed(&self) -> Result<()> {
        let order = self.order.as_ref().unwrap_or(&Value::Null);
        let order = self.shopper.settles(order).await?;
        ensure!(order["state"] == "confirmed", "{order}");
        self.shopper.cart_is_empty().await;
        Ok(())
    }

    async fn is_cancelled(&self, why: &str) -> Result<()> {
        let order = self.order.as_ref().unwrap_or(&Value::Null);
        let order = self.shopper.settles(order).await?;
        ensure!(order["cancel_reason"] == *why, "{order}");
        Ok(())
    }

    async fn check_out(&self, key: &str) -> Result<Value> {
        let checkout = async || self.shopper.checkout(key).await.ok();
        until("an answer to the checkout", checkout).await.json()
    }

    /// What was not sold is in the cart again, once.
    async fn has_it_back(&self) {
        until("the cart", async || {
            let cart = self.shopper.get("/v1/cart").await.ok()?;
            (cart["total"] == gbp(250)).then_some(())
        })
        .await;
    }

    fn path(&self) -> String {
        format!("/v1/orders/{}", text(self.order.as_ref().unwrap_or(&Value::Null), "order_id"))
    }

    async fn payment_is(&self, state: &str) {
        let path = format!("{}/payment", self.path());
        until("the payment", async || {
            let payment = self.shopper.get(&path).await.ok()?;
            (payment["state"] == *state).then_some(())
        })
        .await;
    }

    async fn insist(&self, verb: &str, body: &Value) {
        let path = format!("{}/{verb}", self.path());
        until(verb, async || self.shopper.post(&path, body).await.ok()).await;
    }

    /// A repetition is refused: the address is taken. Signing in tells whether it is theirs.
    async fn register(&self) {
        let api = &self.shopper.api;
        let email = format!("{}@example.com", self.key);
        let body = json!({ "email": email, "password": PASSWORD, "name": "Zohra" });
        until("an account", async || {
            let _taken = api.post("/v1/users", None, &body).await;
            api.sign_in(&email, PASSWORD).await.ok()
        })
        .await;
    }

    async fn fill_the_cart(&self) {
        let put = async || self.shopper.put_in_cart(&self.product, 1).await.ok();
        until("something in the cart", put).await;
    }

    async fn gather_a_crowd(&mut self, world: &World) -> Result<()> {
        self.fill_the_cart().await;
        for _ in 1..CROWD {
            self.crowd.push(Box::pin(Self::begin(Action::Buys, world)).await?);
        }
        Ok(())
    }

    async fn all_buy(&mut self) -> Result<()> {
        let others = try_join_all(self.crowd.iter().map(|it| it.check_out(&it.key)));
        let (own, others) = try_join(self.check_out(&self.key), others).await?;
        self.order = Some(own);
        for (story, order) in self.crowd.iter_mut().zip(others) {
            story.order = Some(order);
        }
        Ok(())
    }

    async fn fill_a_guests_cart(&mut self) -> Result<()> {
        self.fill_the_cart().await;
        let api = &self.shopper.api;
        let guest: Value = api.get("/v1/cart", None).await?.json()?;
        self.key = text(&guest, "cart_id");
        let (path, body) = (format!("/v1/cart/items/{}", self.product), json!({ "quantity": 2 }));
        let headers = [("x-cart-id", &*self.key)];
        api.call(Method::PUT, &path, None, Some(&body), &headers).await?;
        Ok(())
    }

    async fn sign_in(&self) {
        let shopper = &self.shopper;
        let body =
            json!({ "email": shopper.email, "password": PASSWORD, "guest_cart_id": self.key });
        until("a merged cart", async || {
            let session = shopper.api.post("/v1/sessions", None, &body).await.ok()?;
            let session: Value = session.json().ok()?;
            (session["cart_merged"] == true).then_some(())
        })
        .await;
    }

    async fn import(&self, world: &World) -> Result<Imported> {
        let line = Line {
            source: self.key.clone(),
            sku: self.key.clone(),
            name: "tea tray".into(),
            description: String::new(),
            category: "Metal".into(),
            price: serde_json::from_value(gbp(250))?,
            opening_stock: 5,
        };
        catalogue::upload(&world.staff.api, &world.staff.token, vec![line]).await
    }

    /// Signed in anew: a token lives for ten minutes, all deaths together for longer.
    async fn receive(&self, world: &World) {
        let order = self.order.as_ref().unwrap_or(&Value::Null);
        let staff = until("staff", async || Staff::new(&world.shop).await.ok()).await;
        until("a receipt of the return", async || {
            staff.receive(order, &self.key, &self.product, 1).await.ok()
        })
        .await;
    }

    async fn deliver(&self, world: &World) {
        let path = format!("/v1/staff/products/{}/receipts", self.product);
        let body = json!({ "quantity": 5, "receipt": self.key });
        let (api, token) = (&world.staff.api, Some(&*world.staff.token));
        until("a receipt", async || api.post(&path, token, &body).await.ok()).await;
    }
}

/// Product and quantity of each line.
fn bought(order: &Value) -> Vec<(&str, i64)> {
    let lines = order["lines"].as_array().into_iter().flatten();
    let line = |line: &Value| line["quantity"].as_i64().unwrap_or_default();
    lines.map(|it| (it["product_id"].as_str().unwrap_or_default(), line(it))).collect()
}

async fn lose_the_bus(world: &World) -> Result<()> {
    world.shop.stop_store(Server::Nats).await?;
    std::fs::remove_dir_all(world.shop.stores_data()?.join("nats/jetstream"))?;
    world.shop.start_store(Server::Nats).await
}
