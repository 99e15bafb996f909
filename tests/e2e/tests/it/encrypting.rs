//! What services say to the stores, and the payment provider to the gateway, is encrypted, and said to nobody but them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use certs::Authority;
use e2e::shops;
use operator::Shop;
use operator::http::Client;
use operator::plan::GATEWAY;
use operator::shop::programs_beside_this;
use stores::{Home, Psql, Tools};
use testkit::eventually;

use crate::shopper::{Shopper, Staff};

const LIMIT: Duration = Duration::from_secs(20);

pub async fn connections_to_stores_and_from_the_provider_are_encrypted() -> Result<()> {
    let shop = shops::open("encrypting", |_| ()).await?;
    let done = encrypted(&shop).await;
    shops::close_after("encrypting", shop, done).await
}

async fn encrypted(shop: &Shop) -> Result<()> {
    let product = Staff::new(shop).await?.product(10).await?;
    let shopper = Shopper::new(shop).await?;
    let order = shopper.order(&product, 1).await?;
    shopper.settles(&order).await?;

    let psql = Psql::of(&Tools::find(&Home::find()?)).context("no psql")?;
    let url = shop.endpoints().postgres_url.clone();
    let connections = psql.run(
        &url,
        "select count(*) filter (where ssl) || ' of ' || count(*) || ' are encrypted'
         from pg_stat_ssl join pg_stat_activity using (pid) where usename like 'souk_%'",
    )?;
    let line = connections.lines().find(|line| line.contains("are encrypted"));
    let words: Vec<&str> = line.context("a line")?.split_whitespace().collect();
    ensure!(words[0] == words[2] && words[0] != "0", "{connections}");
    let plain = url.replace("verify-full", "disable");
    ensure!(psql.run(&plain, "select 1").is_err(), "without TLS nobody gets in");

    let monitor = shop.endpoints().nats_monitor_urls.first().context("its monitoring")?;
    let connz = Client::new(monitor).get("/connz").await?;
    let connz = String::from_utf8_lossy(&connz.body);
    let (all, encrypted) =
        (connz.matches("\"cid\"").count(), connz.matches("\"tls_version\"").count());
    ensure!(all >= 6 && all == encrypted, "{encrypted} of {all} at NATS");
    println!("  {} connections to PostgreSQL, {all} to NATS", words[0]);
    webhooks(shop).await?;

    refuses_strangers(shop)
}

/// The gateway counts what it answers by what the connection speaks.
async fn webhooks(shop: &Shop) -> Result<()> {
    let answered = eventually("a webhook has come", LIMIT, async || {
        let text = shop.metrics(GATEWAY).await.ok()?;
        let counts = text.lines().filter(|line| {
            line.starts_with("http_server_request_duration_seconds_count")
                && line.contains("http_route=\"/v1/webhooks/psp\"")
        });
        let counts: Vec<String> = counts.map(str::to_owned).collect();
        (!counts.is_empty()).then_some(counts)
    })
    .await;
    let over_tls = |line: &String| line.contains("url_scheme=\"https\"");
    ensure!(answered.iter().all(over_tls), "{answered:?}");
    Ok(())
}

/// A server with a certificate of another authority, and one without TLS.
fn refuses_strangers(shop: &Shop) -> Result<()> {
    let urls = &shop.database_urls("product")[0];
    let (url, _) = urls.split_once('?').context("it says that it wants TLS")?;
    let folder = tempfile::tempdir()?;
    Authority::open_or_create(folder.path())?;
    let other = folder.path().join("ca.pem");
    let said = asks(&format!("{url}?sslmode=verify-full&sslrootcert={}", other.display()))?;
    ensure!(said.contains("certificate"), "{said}");
    let said = asks(&urls.replace("verify-full", "disable"))?;
    ensure!(said.contains("no encryption"), "{said}");
    Ok(())
}

/// What a service's program says when it cannot reach its database.
fn asks(url: &str) -> Result<String> {
    let mut product = Command::new(programs_beside_this()?.join("product"));
    let output = product.args(["outbox", "status"]).env("SOUK_DATABASE_URLS", url).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.lines().count() == 1, "{said}");
    Ok(said)
}
