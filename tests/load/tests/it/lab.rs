use std::time::Duration;

use e2e::shops;
use load::freshness;
use load::lab::sessions;
use operator::Options;
use operator::layout::Layout;
use souk::cli::{EXPERIMENTS, FreshnessBench};
use stores::Home;

const BOOK: &str = include_str!("../../../../docs/scaling.md");

#[test]
fn each_experiment_has_its_section_in_the_lab_book() {
    for (title, number) in EXPERIMENTS.iter().zip(1..) {
        for part in [format!("## {number}. {title}\n"), format!("`cargo souk lab {number}`")] {
            assert!(BOOK.contains(&part), "{part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_processes_and_end_everywhere() {
    in_a_shop("sessions", sessions::copies, sessions::run).await;
}

/// Two copies of product and two gateways, each with memories of their own. A product changes every two seconds, so that a
/// change that is missed is shown for long enough.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_was_current_within_the_last_second() {
    let small =
        FreshnessBench { rate: 400, changes: 20, duration: Duration::from_secs(5), products: 40 };
    in_a_shop("freshness", freshness::copies, move |layout| {
        let seen = freshness::measure(&small, layout)?;
        println!("{seen}");
        anyhow::ensure!(seen.is_right(), "{seen}");
        let of_memory = seen.changes > 40 && seen.replaced > 0;
        anyhow::ensure!(of_memory, "nothing was shown from memory: {seen}");
        Ok(())
    })
    .await;
}

async fn in_a_shop(
    name: &str,
    change: impl FnOnce(&mut Options),
    run: impl FnOnce(&Layout) -> anyhow::Result<()> + Send + 'static,
) {
    let shop = shops::open(name, change).await.unwrap();
    let folder = Home::find().unwrap().path().join("e2e").join(name).join("run");
    let done = tokio::task::spawn_blocking(move || run(&Layout::at(&folder))).await;
    shops::close_after(name, shop, done.unwrap()).await.unwrap();
}
