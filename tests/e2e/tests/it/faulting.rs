//! Faults of a shop that is in use: what may be asked for, what happens, and that it is undone.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};

use e2e::shops;
use operator::control::{self, Injection};
use operator::http::Client;
use operator::layout::Layout;
use operator::{Options, Process, Shop};
use serde_json::Value;
use stores::Server;
use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::shopper::{SETTLED, Shopper, Staff};

const NAME: &str = "faults";

pub async fn a_fault_of_the_shop_in_use_is_bounded_and_undone() -> Result<()> {
    let shop = shops::open(NAME, |options: &mut Options| options.shards = 1).await?;
    let layout = shop.layout();
    let done = async {
        tokio::select! {
            done = faults(&shop, layout) => done?,
            never = control::serve(&shop) => never,
        }
        paused_until_nobody_serves(&shop, layout).await
    };
    let done = done.await;
    shops::close_after(NAME, shop, done).await
}

async fn faults(shop: &Shop, layout: &Layout) -> Result<()> {
    taken(layout).await;
    let mode = layout.control_socket().metadata()?.permissions().mode();
    ensure!(mode & 0o077 == 0, "others can open the socket: {mode:o}");
    what_makes_no_sense_is_refused(layout).await?;

    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let paused = control::inject(layout, "pause", Some("payment"), 3).await?;
    let twice = control::inject(layout, "kill", Some("payment"), 1).await;
    let refused = twice.expect_err("it is under a fault").to_string();
    ensure!(refused == "there is a fault already: pause on payment", "{refused}");
    let order = shopper.order(&product, 1).await?;
    ensure!(stands_still(shop, "payment"), "it goes on");
    ensure!(over(layout, &paused).await.error.is_none());
    ensure!(!stands_still(shop, "payment"), "it still stands still");
    shopper.reaches(&order, "confirmed").await?;

    let before = shop.process("psp");
    let stopped = control::inject(layout, "stop", Some("psp"), 1).await?;
    eventually("it is down", SETTLED, async || shop.process("psp").is_none().then_some(())).await;
    ensure!(over(layout, &stopped).await.error.is_none());
    ensure!(shop.process("psp").is_some_and(|now| Some(now) != before), "it is not back");

    all_of_postgres_stands_still(shop, layout).await?;
    for (kind, target) in [
        ("restart", Some("redis")),
        ("restart", Some("order")),
        ("kill", Some("postgres")),
        ("redis-flush", None),
        ("nats-wipe", None),
        ("nats-rollback", None),
        ("provider-errors", None),
    ] {
        let ended = over(layout, &control::inject(layout, kind, target, 1).await?).await;
        ensure!(ended.error.is_none(), "{ended:?}");
        eventually("the state file names what runs", SETTLED, async || {
            let stores = shop.state().stores;
            let alive = |it: &Process| it.alive();
            stores.iter().all(|it| it.process.as_ref().is_some_and(alive)).then_some(())
        })
        .await;
    }
    the_provider_answers_well(shop).await?;
    let order = shopper.order_patiently(&product).await?;
    shopper.reaches(&order, "confirmed").await.map(drop)
}

async fn all_of_postgres_stands_still(shop: &Shop, layout: &Layout) -> Result<()> {
    let asleep = control::inject(layout, "pause", Some("postgres"), 4).await?;
    let postgres = shop.store_process(Server::Postgres).await.context("PostgreSQL does not run")?;
    eventually("PostgreSQL stands still, for everybody who is connected", SETTLED, async || {
        let children = postgres.children();
        let all = children.iter().chain([&postgres]);
        (children.len() > 5 && all.into_iter().all(is_stopped)).then_some(())
    })
    .await;
    ensure!(over(layout, &asleep).await.error.is_none());
    Ok(())
}

async fn the_provider_answers_well(shop: &Shop) -> Result<()> {
    let provider = Client::new(&shop.psp_url());
    let behaviour: Value = provider.get("/v1/behaviour").await?.json()?;
    ensure!(behaviour["decline"] == 0.0, "the provider goes on answering badly: {behaviour}");
    Ok(())
}

async fn taken(layout: &Layout) {
    eventually("faults are taken", SETTLED, async || control::injections(layout).await.ok()).await;
}

async fn what_makes_no_sense_is_refused(layout: &Layout) -> Result<()> {
    for (kind, target, seconds, why) in [
        ("flood", None, 1, "no fault is called \"flood\""),
        ("kill", None, 1, "kill needs the name of a process or a store"),
        ("redis-flush", Some("redis"), 1, "redis-flush has no target"),
        ("kill", Some("init"), 1, "no process and no store of this shop is called \"init\""),
        (
            "kill",
            Some("../order"),
            1,
            "no process and no store of this shop is called \"../order\"",
        ),
        ("pause", Some("order"), 0, "a fault lasts from 1 to 60 seconds"),
        ("pause", Some("order"), 61, "a fault lasts from 1 to 60 seconds"),
    ] {
        let refused = control::inject(layout, kind, target, seconds).await;
        ensure!(refused.as_ref().is_err_and(|it| it.to_string() == why), "{refused:?}");
    }
    for text in ["", "{", "{\"do\":\"obey\"}", "{\"do\":\"list\",\"id\":7}"] {
        let mut stream = UnixStream::connect(layout.control_socket()).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        ensure!(reply.starts_with("{\"refused\":"), "{text:?}: {reply}");
    }
    ensure!(control::injections(layout).await?.is_empty(), "something was injected");
    Ok(())
}

/// Whoever stops the supervisor must not leave a process that stands still: it would not end in order.
async fn paused_until_nobody_serves(shop: &Shop, layout: &Layout) -> Result<()> {
    let paused = async {
        taken(layout).await;
        control::inject(layout, "pause", Some("cart"), 60).await?;
        eventually("it stands still", SETTLED, async || stands_still(shop, "cart").then_some(()))
            .await;
        anyhow::Ok(())
    };
    tokio::select! {
        paused = paused => paused?,
        never = control::serve(shop) => never,
    }
    ensure!(!stands_still(shop, "cart"), "it was left standing still");
    ensure!(control::injections(layout).await.is_err(), "somebody takes faults");
    Ok(())
}

async fn over(layout: &Layout, injection: &Injection) -> Injection {
    eventually("it is over", SETTLED, async || {
        let mut known = control::injections(layout).await.ok()?.into_iter();
        known.find(|it| it.id == injection.id && it.ended_unix_ms.is_some())
    })
    .await
}

fn stands_still(shop: &Shop, name: &str) -> bool {
    shop.process(name).as_ref().is_some_and(is_stopped)
}

/// As Linux tells it: state `T` of proc(5).
fn is_stopped(process: &Process) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}
