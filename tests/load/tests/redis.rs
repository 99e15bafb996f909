//! Redis forgets everything, is full, stands still and dies while customers look and buy, and none of them has anything of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use e2e::shops;
use load::Finished;
use operator::layout::Layout;
use operator::{Shop, Signal};
use souk::cli::Load;
use stores::{Home, Server};
use tokio::time::sleep;

const SHOP: &str = "load-redis";
/// For what a strike does to be noticed.
const NOTICED_MAX: Duration = Duration::from_secs(60);
const LASTS: Duration = Duration::from_millis(1_500);

#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    load: Load,
}

fn run(out: &Path) -> Result<Finished> {
    let out = out.display().to_string();
    let line = "load --rate 60 --duration 40s --users 16 --slo errors=0.1% --out";
    let options = Options::try_parse_from(line.split(' ').chain([out.as_str()]))?.load;
    let folder = Home::find()?.path().join("e2e").join(SHOP).join("run");
    load::run(&options, Some(&Layout::at(&folder)))
}

/// Whether product can count views.
async fn is_up(shop: &Shop) -> Result<bool> {
    let metrics = shop.metrics("product").await?;
    let mut up = metrics.lines().filter(|line| line.starts_with("souk_redis_up"));
    Ok(up.all(|line| line.ends_with(" 1")))
}

async fn until(shop: &Shop, up: bool) {
    let what = if up { "Redis is used again" } else { "product has noticed" };
    let noticed = async || is_up(shop).await.is_ok_and(|it| it == up).then_some(());
    testkit::eventually(what, NOTICED_MAX, noticed).await;
}

async fn strike(shop: &Shop) -> Result<()> {
    let ok = async |commands: &[&str]| {
        let answer = shop.redis(commands).await?;
        ensure!(answer.lines().all(|line| line == "+OK"), "{answer}");
        Ok(())
    };
    ok(&["FLUSHALL"]).await?;

    ok(&["CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 1"]).await?;
    until(shop, false).await;
    ok(&["CONFIG SET maxmemory 256mb", "CONFIG SET maxmemory-policy allkeys-lru"]).await?;
    until(shop, true).await;

    let process = shop.store_process(Server::Redis).await.context("Redis does not run")?;
    process.signal(Signal::STOP)?;
    until(shop, false).await;
    sleep(LASTS).await; // the fault itself
    process.signal(Signal::CONT)?;
    until(shop, true).await;

    process.signal(Signal::KILL)?;
    testkit::eventually("the supervisor has started it", NOTICED_MAX, async || {
        shop.store_process(Server::Redis).await.filter(|now| *now != process)
    })
    .await;
    until(shop, true).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_redis_does_no_customer_has_anything_of_it() {
    let shop = shops::open(SHOP, |_| ()).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_owned();
    let load = tokio::task::spawn_blocking(move || run(&folder));
    let done = strike(&shop).await;
    let under_load = !load.is_finished();
    let measured = load.await;
    shops::close_after(SHOP, shop, done).await.unwrap();
    let Finished { report, failures, .. } = measured.unwrap().unwrap();
    assert!(under_load, "the last strike came when the load was over");
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    // Of a generator that the machine held up nothing follows for the shop.
    let of_shop = |line: &&String| !line.starts_with("this generator");
    assert_eq!(failures.iter().find(of_shop), None, "{failures:?}");
    assert!(report.orders.accepted > 0 && report.audit.unwrap().is_clean());
}
