//! One order is one trace, through every service and over the bus.

use anyhow::{Result, ensure};
use operator::Shop;
use operator::api::Api;
use operator::customer::{Purchase, Wish, buy};
use operator::traces::Trace;
use operator::tree;
use testkit::eventually;

use crate::shopper::{SETTLED, Staff};

const SERVICES: [&str; 6] = ["gateway", "order", "cart", "product", "user", "payment"];

pub async fn one_trace_has_every_service(shop: &Shop) -> Result<()> {
    let product = Staff::new(shop).await?.product(5).await?;
    let api = Api::new(&shop.urls()[0]);
    let found: serde_json::Value =
        api.get(&format!("/v1/products/{product}"), None).await?.json()?;
    let wish = Wish::Sku(crate::shopper::text(&found, "sku"));
    let purchase = Purchase { wish, quantity: 1, card_token: "tok_approve".into() };
    let bought = buy(&api, &purchase).await?;
    ensure!(bought.order.state == "confirmed");
    let collector = Api::new(&shop.traces_url().expect("the shop's own"));
    let path = format!("/traces/{}", bought.trace_id);
    let trace: Trace = eventually("the whole trace has arrived", SETTLED, async || {
        let trace: Trace = collector.get(&path, None).await.ok()?.json().ok()?;
        tree::missing(&trace, &SERVICES).is_empty().then_some(trace)
    })
    .await;
    ensure!(trace.trace_id == bought.trace_id);
    // A process whose exporter is gone would be missed.
    for service in SERVICES {
        let mut without = trace.clone();
        without.spans.retain(|span| span.service != service);
        ensure!(!tree::missing(&without, &SERVICES).is_empty(), "{service} is not missed");
    }
    Ok(())
}
