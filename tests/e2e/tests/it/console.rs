//! The console of a shop that works: what it says, to whom, and what it can break.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use operator::http::{Answer, Client, full, is_success};
use operator::plan::{CONSOLE, CONSOLE_HOST};
use operator::{Options, Shop, Signal, control};
use serde_json::{Value, json};
use testkit::eventually;

use crate::shopper::{Shopper, Staff, text};

const NAME: &str = "console";
/// The auditor looks for a tenth of the time at most: where a look takes six seconds, once in a minute.
const LOOKED: Duration = Duration::from_secs(180);
const ANSWER_MAX: Duration = Duration::from_secs(5);

pub async fn the_console_breaks_the_shop_and_says_whether_a_promise_broke() -> Result<()> {
    let with_a_console = |options: &mut Options| {
        options.shards = 1;
        options.console = true;
    };
    let shop = shops::open(NAME, with_a_console).await?;
    let done = tokio::select! {
        done = scenes(&shop) => done,
        never = control::serve(&shop) => never,
    };
    shops::close_after(NAME, shop, done).await
}

/// A browser that was given the address, or not.
struct Looking {
    client: Client,
    host: String,
    token: String,
}

impl Looking {
    fn at(shop: &Shop) -> Result<Self> {
        let entries = shop.processes();
        let entry = entries.iter().find(|it| it.task.name == CONSOLE).context("no console")?;
        let url = shop.state().console_url(shop.layout()).context("no address")?;
        let (_, token) = url.split_once("#token=").context("no token in it")?;
        Ok(Self {
            client: Client::new(&format!("http://{}", entry.task.listen)),
            host: format!("{CONSOLE_HOST}:{}", entry.task.listen.port()),
            token: token.to_owned(),
        })
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let request = self.client.request(method, path).header(HOST, &self.host);
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        let request = request.header(CONTENT_TYPE, "application/json");
        let body = body.map(|it| it.to_string()).unwrap_or_default();
        self.client.send(request.body(full(body))?, ANSWER_MAX).await
    }

    async fn overview(&self) -> Result<Value> {
        let answer = self.send(Method::GET, "/api/overview", None).await?;
        ensure!(answer.status == 200, "{}", answer.status);
        answer.json()
    }

    async fn fault(&self, fault: Value) -> Result<Answer> {
        self.send(Method::POST, "/api/faults", Some(fault)).await
    }

    /// Waits for a verdict.
    async fn says(&self, state: &str) -> Value {
        eventually(&format!("the verdict is {state}"), LOOKED, async || {
            let overview = self.overview().await.ok()?;
            (overview["verdict"]["state"] == *state).then_some(overview)
        })
        .await
    }
}

async fn scenes(shop: &Shop) -> Result<()> {
    let console = Looking::at(shop)?;
    nobody_else_is_answered(shop).await?;
    console.says("kept").await;

    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let paused = json!({ "kind": "pause", "target": "psp", "seconds": 60 });
    ensure!(console.fault(paused.clone()).await?.status == 202, "it is not paused");
    ensure!(console.fault(paused).await?.status == 422, "it is paused twice");
    let order = shopper.order(&product, 1).await?;
    let overview = console.says("at_work").await;
    ensure!(overview["faults"].as_array().is_some_and(|it| it.len() == 1), "{overview}");
    let first = shop.process("payment");
    let killed = console.fault(json!({ "kind": "kill", "target": "payment" })).await?;
    ensure!(killed.status == 202, "{}", killed.status);
    shop.ready_after("payment", first).await?;
    shop.kill("psp", Signal::CONT)?;
    shopper.reaches(&order, "confirmed").await?;
    console.says("kept").await;

    for (fault, why) in [
        (json!({ "kind": "flood" }), "no fault is called"),
        (json!({ "kind": "kill", "target": "init" }), "no process and no store"),
    ] {
        let refused = console.fault(fault).await?;
        let body: Value = refused.json()?;
        ensure!(refused.status == 422 && body.to_string().contains(why), "{body}");
    }

    // A bug, planted at the provider: it takes the money twice.
    charge_again(shop, &order).await?;
    let overview = console.says("broken").await;
    let checks = overview["verdict"]["checks"].to_string();
    ensure!(checks.contains("nobody_is_charged_twice"), "{checks}");
    ensure!(checks.contains(&text(&order, "order_id")), "{checks}");

    shop.kill(CONSOLE, Signal::KILL)?;
    let order = shopper.order(&product, 1).await?;
    shopper.reaches(&order, "confirmed").await.map(drop)
}

async fn nobody_else_is_answered(shop: &Shop) -> Result<()> {
    let stranger = Looking { token: "a".repeat(64), ..Looking::at(shop)? };
    let another_name = Looking { host: "shop.example:80".to_owned(), ..Looking::at(shop)? };
    for (who, status) in [(stranger, 401), (another_name, 421)] {
        for (method, path) in [(Method::GET, "/api/overview"), (Method::POST, "/api/faults")] {
            let answer = who.send(method, path, Some(json!({ "kind": "redis-flush" }))).await?;
            ensure!(answer.status == status, "{path}: {} and not {status}", answer.status);
        }
    }
    Ok(())
}

async fn charge_again(shop: &Shop, order: &Value) -> Result<()> {
    let provider = Client::new(&shop.psp_url());
    let body = json!({ "card_token": "tok_approve", "reference": text(order, "order_id"),
        "amount": order["total"] });
    let request = provider.request(Method::POST, "/v1/captures");
    let request =
        request.header("idempotency-key", "again").header(CONTENT_TYPE, "application/json");
    let answer = provider.send(request.body(full(body.to_string()))?, ANSWER_MAX).await?;
    ensure!(is_success(answer.status), "{}: {:?}", answer.status, answer.body);
    Ok(())
}
