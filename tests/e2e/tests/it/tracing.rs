//! One order is one trace, through every service and over the bus.

mod expected;

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
    let path = format!("/orders/{}/trace", bought.order.order_id);
    let by_order: Trace = collector.get(&path, None).await?.json()?;
    ensure!(by_order.trace_id == trace.trace_id, "cargo souk trace finds it by the order");
    expected::compare(&collector, &trace.trace_id).await?;
    // A process whose exporter is gone would be missed.
    for service in SERVICES {
        let mut without = trace.clone();
        without.spans.retain(|span| span.service != service);
        ensure!(!tree::missing(&without, &SERVICES).is_empty(), "{service} is not missed");
    }
    Ok(())
}

pub async fn every_metric_is_in_the_catalogue(shop: &Shop) -> Result<()> {
    for entry in shop.processes().into_iter().filter(|it| SERVICES.contains(&&*it.task.service)) {
        let admin = Api::new(&format!("http://{}", entry.task.admin));
        let text = String::from_utf8(admin.get("/metrics", None).await?.body.to_vec())?;
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for family in families {
            let known = |about: &&telemetry::metrics::About| {
                family == format!("{} {}", about.prometheus_name(), about.kind)
            };
            ensure!(telemetry::catalogue::ALL.iter().any(known), "{family}");
        }
        let process = text.contains("process_resident_memory_bytes ");
        ensure!(process && text.contains("_duration_seconds_bucket{"), "{text}");
    }
    Ok(())
}
