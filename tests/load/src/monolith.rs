//! `cargo souk bench monolith`: what distribution costs. The same crates as the shop that they are, in one process, and in one
//! from which payment was moved out; each under the same mix of requests, and then with as many orders as it settles.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use operator::Options;
use operator::layout::Layout;
use souk::cli::{Load, MonolithBench, Orders, Scenario};

use crate::machine::Part;
use crate::orders::{self, measure};
use crate::report::Report;
use crate::run::{load, run};
use crate::say;
use crate::table::Table;
use crate::temporary_shop::with_shop;

/// Which services run in the gateway's process.
const VARIANTS: [(&str, &[&str]); 3] = [
    ("services", &[]),
    ("one process", &["product", "user", "cart", "order", "payment"]),
    ("payment apart", &["product", "user", "cart", "order"]),
];
/// The rows of the charts.
const REQUEST: &str = "core-ms for a request";
const ORDER: &str = "core-ms for a settled order";
/// Of `bench orders`, whose ratio is not what is asked here.
const YARDSTICK: Duration = Duration::from_secs(2);

/// What was measured of two shops that are alike.
struct Measured {
    mix: Report,
    orders: orders::Report,
}

/// Measures [`VARIANTS`] in `folder`, one after the other, prints the table and draws the charts.
///
/// # Errors
/// When a shop does not come up, answers with errors, or loses or doubles something.
pub(crate) async fn in_turn(
    options: &MonolithBench,
    folder: &Path,
    reports_in: &Path,
) -> Result<()> {
    let mut all = Vec::new();
    for (name, inside) in VARIANTS {
        say(&format!("---- {name}"));
        let (asked, at) = (options.clone(), reports_in.join(name.replace(' ', "-")));
        let measured = move |layout: &Layout, _: &str| mix(&asked, layout, at);
        let mix = with_shop(folder, |shop| together(shop, inside), measured).await?;
        let asked = options.clone();
        let measured = move |layout: &Layout, server: &str| orders(&asked, layout, server);
        let orders = with_shop(folder, |shop| together(shop, inside), measured).await?;
        all.push(Measured { mix, orders });
    }
    let table = table(&all);
    for (row, title, file) in [
        (REQUEST, "A request of the mix", "request.svg"),
        (ORDER, "A settled order, at full load", "order.svg"),
    ] {
        table.chart(row, title, &reports_in.join(file))?;
    }
    say(&format!("\n{table}"));
    Ok(())
}

/// Lets the gateway's process run these services.
pub fn together(shop: &mut Options, inside: &[&str]) {
    shop.inside = inside.iter().map(|name| (*name).to_owned()).collect();
}

fn mix(options: &MonolithBench, layout: &Layout, reports_in: PathBuf) -> Result<Report> {
    let load = Load {
        rate: Some(options.rate),
        out: Some(reports_in),
        ..load(Scenario::Mix, options.duration)
    };
    let finished = run(&load, Some(layout))?;
    ensure!(finished.failures.is_empty(), "{}", finished.failures.join("; "));
    let good = finished.report.total.errors_percent < 0.1;
    ensure!(good, "some requests were answered with an error");
    Ok(finished.report)
}

fn orders(options: &MonolithBench, layout: &Layout, server: &str) -> Result<orders::Report> {
    let rush = Orders {
        duration: options.duration,
        under_way: 900,
        unanswered: 400,
        carts: options.carts,
        lines: 1,
        yardstick: YARDSTICK,
        out: None,
        compare: None,
    };
    let report = measure(&rush, layout, Some(server))?;
    ensure!(report.audit.is_clean(), "the books are not right:\n{}", report.audit);
    Ok(report)
}

fn table(all: &[Measured]) -> Table {
    let mut table = Table::new("", VARIANTS.map(|variant| variant.0));
    let mut add = |name: &str, decimals, figure: fn(&Measured) -> Option<f64>| {
        table.add(name, decimals, all.iter().map(figure));
    };
    add(REQUEST, 2, |shop| Some(shop.mix.cost.as_ref()?.core_ms_per_request));
    add("  gateway and services", 2, |shop| mix_of(shop, Part::Shop));
    add("  stores", 2, |shop| mix_of(shop, Part::Store));
    add("p50, ms", 1, |shop| Some(shop.mix.total.latency_ms.p50));
    add("p99, ms", 1, |shop| Some(shop.mix.total.latency_ms.p99));
    add(ORDER, 2, |shop| Some(shop.orders.full_load.cost.as_ref()?.core_ms_per_order));
    add("  gateway and services", 2, |shop| order_of(shop, Part::Shop));
    add("  stores", 2, |shop| order_of(shop, Part::Store));
    add("settled orders a second", 0, |shop| Some(shop.orders.full_load.settled_per_second));
    add("at half of that, p50, ms", 1, |shop| Some(shop.orders.half_load.settled_ms.p50));
    add("memory (PSS), MB", 0, |shop| {
        Some(shop.orders.half_load.cost.as_ref()?.shop_pss as f64 / 1e6)
    });
    table
}

fn mix_of(shop: &Measured, part: Part) -> Option<f64> {
    let processes = shop.mix.cost.as_ref()?.processes.iter();
    Some(processes.filter(|it| it.part == part).map(|it| it.core_ms_per_request).sum())
}

fn order_of(shop: &Measured, part: Part) -> Option<f64> {
    let processes = shop.orders.full_load.cost.as_ref()?.processes.iter();
    Some(processes.filter(|it| it.part == part).map(|it| it.core_ms_per_order).sum())
}
