use std::time::Duration;

use clap::Parser as _;
use e2e::shops;
use load::orders::{Report, Slow, measure, measure_slow};
use load::showing;
use operator::layout::Layout;
use souk::cli::{Bench, Measured};
use stores::Home;

const SHOP: &str = "bench";

#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    bench: Bench,
}

fn parsed(line: &str) -> Measured {
    Options::try_parse_from(line.split(' ')).unwrap().bench.what
}

fn run() -> Report {
    let small = "bench orders --carts 900 --under-way 2 --duration 1s --yardstick 3s";
    let Measured::Orders(options) = parsed(small) else { panic!("{small}") };
    let folder = Home::find().unwrap().path().join("e2e").join(SHOP).join("run");
    measure(&options, &Layout::at(&folder), None).unwrap()
}

/// The table of two runs that are one.
fn look() -> String {
    let Measured::Cache(options) = parsed("bench cache --rate 100 --duration 2s --products 50")
    else {
        panic!("no bench")
    };
    let home = Home::find().unwrap().path().join("e2e").join(SHOP);
    let out = tempfile::tempdir().unwrap();
    let report = showing::measure(&options, &Layout::at(&home.join("run")), out.path()).unwrap();
    showing::table(&[("off", report.clone()), ("on", report)]).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_orders_are_measured_against_the_same_servers_commits() {
    let shop = shops::open(SHOP, |_| ()).await.unwrap();
    let measured = tokio::task::spawn_blocking(|| (run(), look())).await;
    if measured.is_err() {
        shops::print_logs(&shop);
    }
    shops::close(SHOP, shop).await.unwrap();
    let (report, table) = measured.unwrap();
    for row in ["  gateway ", "  product ", "  postgres ", "  shop and stores ", "p50, ms "] {
        assert!(table.contains(row), "{row} in\n{table}");
    }
    assert!(table.contains("1.000       1.000") && table.contains("100.000"), "{table}");

    assert!(report.audit.is_clean(), "\n{}", report.audit);
    let [before, after] = report.durable_commits_per_second;
    assert!(before > 0.0 && after > 0.0, "{report}");
    let expected = report.full_load.settled_per_second / ((before + after) / 2.0);
    assert!((report.ratio - expected).abs() < 1e-9, "{report}");
    assert_eq!(report.setting.durability.fsync, "on");

    for phase in [&report.full_load, &report.half_load] {
        assert!(phase.settled > 0 && phase.refused.is_empty(), "{report}");
        let (waited, lag) = (phase.settled_ms, phase.publish_lag_ms);
        assert!(waited.p99 >= phase.recorded_ms.p50 && lag.p50 > 0.0, "{report}");
        let cost = phase.cost.as_ref().unwrap();
        let parts: f64 = cost.processes.iter().map(|process| process.core_ms_per_order).sum();
        assert!((parts - cost.all_core_ms_per_order).abs() < 1e-6, "{report}");
        assert!(cost.processes.iter().any(|p| p.name == "psp" && p.resident.is_some()), "{report}");
    }
    let confirmed = report.audit.checks.iter().map(|check| check.looked_at).max();
    assert!(confirmed >= Some(report.half_load.settled), "the audit has looked at them: {report}");

    let text = report.to_string();
    assert_eq!(text.matches("reached").count() + text.matches("REACHED").count(), 4, "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["full_load"]["settled"], report.full_load.settled);
    assert_eq!(json["under_way"], 2, "the setting is on the first level");
}

const SLOW_SHOP: &str = "slow-provider";

/// Twice as many orders as two calls of 200 ms can pay for.
fn run_slow() -> Slow {
    let small = "bench provider --rate 20 --delay 200ms --duration 5s";
    let Measured::Provider(options) = parsed(small) else { panic!("{small}") };
    let folder = Home::find().unwrap().path().join("e2e").join(SLOW_SHOP).join("run");
    measure_slow(&options, &Layout::at(&folder)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_slow_provider_orders_are_paid_in_time_or_not_charged() {
    let calls = ("payment".into(), "SOUK_PSP_CONCURRENCY".into(), "2".into());
    let shop = shops::open(SLOW_SHOP, |options| {
        options.environment.push(calls);
        options.checkout_deadline = Some(Duration::from_secs(5));
    });
    let shop = shop.await.unwrap();
    let measured = tokio::task::spawn_blocking(run_slow).await;
    if measured.is_err() {
        shops::print_logs(&shop);
    }
    shops::close(SLOW_SHOP, shop).await.unwrap();
    let slow = measured.unwrap();
    assert!(slow.is_right(), "{slow}");
    assert!(slow.confirmed > 0 && slow.confirmed < slow.accepted, "{slow}");
}
