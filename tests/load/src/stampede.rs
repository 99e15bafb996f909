//! `cargo souk bench stampede`: a product changes, and everybody wants it at that moment. How often is the database asked?

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use http::{Method, Uri};
use operator::api::Api;
use operator::layout::Layout;
use operator::{Options, running};
use souk::cli::StampedeBench;
use stores::{Home, Psql, Tools};
use tokio::time::{Instant, sleep};

use crate::report::Latency;
use crate::shop::Target;
use crate::showing::{VARIANTS, turn_off};
use crate::table::Table;
use crate::temporary_shop::with_shop;
use crate::wire::{Wire, on_this_thread, request};
use crate::{freshness, say, seed};

/// The row of the chart.
const READS: &str = "reads of the product from the database, for each change";
/// Longer than a change takes to be known everywhere.
const BETWEEN: Duration = Duration::from_secs(1);
const BEGIN: &str = "create extension if not exists pg_stat_statements";
const COUNT: &str = "select coalesce(sum(calls), 0) from pg_stat_statements where query like '%from products p join stock s%'";

/// What came of all changes.
struct Seen {
    reads: f64,
    latency: Latency,
}

/// Measures a shop without memories and one with, two gateways and two copies of product each, prints the table and draws a chart.
///
/// # Errors
/// When a shop does not come up, or does not show the product to everybody.
pub(crate) async fn in_turn(
    options: &StampedeBench,
    folder: &Path,
    reports_in: &Path,
) -> Result<()> {
    std::fs::create_dir_all(reports_in)?;
    let [none, .., both] = VARIANTS;
    let mut all = Vec::new();
    for (name, off) in [none, both] {
        say(&format!("---- {name}"));
        let options = options.clone();
        let change = |shop: &mut Options| {
            freshness::copies(shop);
            turn_off(shop, off);
        };
        let measure = move |layout: &Layout, server: &str| measure(&options, layout, server);
        all.push(with_shop(folder, change, measure).await?);
    }
    let mut table = Table::new("", [none.0, both.0]);
    table.add(READS, 1, all.iter().map(|seen| Some(seen.reads)));
    table.add("shown after, p50, ms", 1, all.iter().map(|seen| Some(seen.latency.p50)));
    table.add("shown after, p99, ms", 1, all.iter().map(|seen| Some(seen.latency.p99)));
    let title = format!("{} customers want what has just changed", options.customers);
    table.chart(READS, &title, &reports_in.join("reads.svg"))?;
    say(&format!("\n{title}\n\n{table}"));
    Ok(())
}

fn measure(options: &StampedeBench, layout: &Layout, server: &str) -> Result<Seen> {
    on_this_thread(measured(options, layout, server))
}

async fn measured(options: &StampedeBench, layout: &Layout, server: &str) -> Result<Seen> {
    let target = Target::of(layout, running::at(layout)?)?;
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("no psql on this machine")?;
    psql.run(server, BEGIN)?;
    let reads = || anyhow::Ok(psql.run(server, COUNT)?.trim().parse::<u64>()?);
    let api = Api::new(&target.url());
    let products = seed::products(&api, &target, 1).await?;
    let product = products.first().context("no product")?;
    let uri: Uri = format!("/v1/products/{product}").parse()?;
    let staff = target.staff.as_ref().context("the shop has no staff")?;
    let token = api.sign_in(&staff.email, &staff.password).await?;
    let wire = Wire::to(&target.gateways)?;
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let (mut all_reads, mut price) = (0, 1_000);
    for nth in 0..=options.changes {
        price += 1;
        sleep(BETWEEN).await;
        let before = reads()?;
        freshness::price(&api, &token, product, price).await?;
        let begin = Instant::now();
        let everybody = (0..options.customers).map(async |_| {
            let answer = wire.send(request(Method::GET, uri.clone(), Bytes::new())).await;
            let answer = answer.map_err(anyhow::Error::msg)?;
            ensure!(answer.status.is_success(), "answered {}", answer.told());
            Ok(answer.at.saturating_duration_since(begin.into_std()))
        });
        let took = try_join_all(everybody).await?;
        if nth > 0 {
            // The first time everybody has to connect.
            all_reads += reads()? - before;
            for took in took {
                latencies.saturating_record(u64::try_from(took.as_micros())?);
            }
        }
    }
    let reads = all_reads as f64 / f64::from(options.changes);
    Ok(Seen { reads, latency: Latency::of(&latencies) })
}
