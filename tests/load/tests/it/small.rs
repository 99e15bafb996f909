use std::path::Path;

use clap::Parser as _;
use e2e::shops;
use futures_util::future::join_all;
use load::Finished;
use load::monolith::together;
use operator::Shop;
use operator::layout::Layout;
use operator::state::State;
use souk::cli::Load;
use stores::Home;
use tempfile::TempDir;
use tokio::task::{JoinError, spawn_blocking};

const SHOP: &str = "load";

#[derive(clap::Parser)]
struct Options {
    #[command(flatten)]
    load: Load,
}

fn run(shop: &str, arguments: &str, out: &Path) -> Finished {
    try_run(shop, arguments, out).unwrap()
}

fn try_run(shop: &str, arguments: &str, out: &Path) -> anyhow::Result<Finished> {
    let out = out.display().to_string();
    let all = ["load"].into_iter().chain(arguments.split(' ')).chain(["--out", &out]);
    let options = Options::try_parse_from(all).unwrap().load;
    load::run(&options, Some(&layout(shop)))
}

fn layout(shop: &str) -> Layout {
    Layout::at(&Home::find().unwrap().path().join("e2e").join(shop).join("run"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_load_is_borne_reported_and_audited() {
    let shop = shops::open(SHOP, |_| ()).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    // A level that nothing can meet: five durable changes take longer.
    let arguments = "--rate 60 --duration 3s --users 8 --slo settled:p50=1ms --slo errors=1%";
    let measured = under_load(SHOP, &shop, arguments, &out).await;
    let (state, url) = (shop.state(), shop.urls().remove(0));
    let refused = spawn_blocking(move || of_another_profile(state, &url)).await;
    shops::close(SHOP, shop).await.unwrap();
    let Finished { report, failures, .. } = measured.unwrap();
    let refused = refused.unwrap();
    assert!(refused.contains("of the other profile") && !refused.contains('\n'), "{refused}");

    let audit = report.audit.as_ref().unwrap();
    assert!(audit.is_clean(), "\n{audit}");
    let orders = &report.orders;
    assert!(orders.accepted > 0, "{orders:?}");
    assert_eq!((orders.confirmed, orders.open), (orders.accepted, 0), "{orders:?}");
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let rate = report.total.offered;
    assert!((40.0..80.0).contains(&rate), "{rate}");
    let cost = report.cost.as_ref().unwrap();
    assert!(cost.core_ms_per_request > 0.0 && cost.shop_resident > 10_000_000, "{cost:?}");
    assert!(cost.processes.iter().any(|p| p.name == "postgres" && p.cpu_ms > 0), "{cost:?}");

    assert!(failures.iter().any(|line| line.starts_with("settled p50 is")), "{failures:?}");
    assert!(!failures.iter().any(|line| line.starts_with("errors")), "{failures:?}");

    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(json["orders"]["accepted"], orders.accepted);
    let (text, html) = (read("report.txt"), read("report.html"));
    assert!(text.contains("nobody_is_charged_twice") && text.contains("settled p50"), "{text}");
    assert!(html.matches("<svg").count() >= 4 && !html.contains("NaN"), "{html}");
    assert!(!html.contains("<script") && !html.contains("src="), "nothing is fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_shard_outage_other_users_have_what_they_ask_for() {
    const SHOP: &str = "load-shard";
    let shop = shops::open(SHOP, |_| ()).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let arguments = "--scenario shard-outage --rate 60 --duration 9s --users 16";
    let measured = under_load(SHOP, &shop, arguments, &out).await;
    shops::close(SHOP, shop).await.unwrap();
    let Finished { report, failures, .. } = measured.unwrap();
    let outage = report.outage.unwrap();
    assert!(outage.others_good > 0 && outage.own_bad > outage.own_good, "{outage:?}");
    assert_eq!(outage.others_bad, 0, "{outage:?}");
    assert_eq!(failures.iter().find(of_shop), None, "{failures:?}");
    assert!(report.audit.unwrap().is_clean());
    let text = std::fs::read_to_string(out.path().join("report.txt")).unwrap();
    assert!(text.contains("shard away  others: "), "{text}");
}

/// The services in the gateway's process, but for payment: they call each other without a network, and payment over it.
#[tokio::test(flavor = "multi_thread")]
async fn one_process_with_payment_apart_is_the_same_shop() {
    const SHOP: &str = "load-monolith";
    let inside = ["product", "user", "cart", "order"];
    let shop = shops::open(SHOP, |shop| together(shop, &inside)).await.unwrap();
    let processes = shop.processes().into_iter().map(|entry| entry.task.name);
    let processes: Vec<String> = processes.collect();
    let out = tempfile::tempdir().unwrap();
    let arguments = "--scenario checkout --rate 20 --duration 3s --users 24";
    let measured = under_load(SHOP, &shop, arguments, &out).await;
    let served = join_all(["gateway", "payment"].map(|name| handshakes(&shop, name))).await;
    shops::close(SHOP, shop).await.unwrap();
    let Finished { report, failures, .. } = measured.unwrap();
    let served: Vec<f64> = served.into_iter().map(Result::unwrap).collect();
    assert!(
        served[0] == 0.0 && served[1] > 0.0,
        "payment alone is called over the network: {served:?}"
    );
    assert_eq!(processes, ["gateway", "payment", "provisioner", "psp"]);
    assert_eq!(failures.iter().find(of_shop), None, "{failures:?}");
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let orders = &report.orders;
    assert!(orders.accepted > 0, "{orders:?}");
    assert_eq!((orders.confirmed, orders.open), (orders.accepted, 0), "{orders:?}");
}

/// How often a process was called by others over the network.
async fn handshakes(shop: &Shop, name: &str) -> anyhow::Result<f64> {
    let metrics = shop.metrics(name).await?;
    let accepted =
        metrics.lines().filter(|line| line.starts_with("souk_rpc_server_handshakes_total"));
    Ok(accepted.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum())
}

/// A load on the shop of this name, which says its logs if it does not come to an end.
async fn under_load(
    name: &'static str,
    shop: &Shop,
    arguments: &'static str,
    out: &TempDir,
) -> Result<Finished, JoinError> {
    let folder = out.path().to_owned();
    let measured = spawn_blocking(move || run(name, arguments, &folder)).await;
    if measured.is_err() {
        shops::print_logs(shop);
    }
    measured
}

/// Of a generator that the machine held up nothing follows for the shop.
fn of_shop(failure: &&String) -> bool {
    !failure.starts_with("this generator")
}

/// What is said to whoever measures a shop that was built otherwise than the generator.
fn of_another_profile(state: State, url: &str) -> String {
    State { profile: "other".into(), ..state }.write(&layout(SHOP)).unwrap();
    let nowhere = Path::new("/dev/null");
    let refusals = ["--rate 1", &format!("--rate 1 --target {url}")].map(|arguments| {
        let refused = try_run(SHOP, arguments, nowhere);
        refused.err().unwrap().to_string()
    });
    assert_eq!(refusals[0], refusals[1]);
    refusals[0].clone()
}
