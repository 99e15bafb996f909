use std::time::Duration;

use e2e::shops;
use load::freshness;
use load::lab::sessions;
use operator::layout::Layout;
use souk::cli::{EXPERIMENTS, FreshnessBench};
use stores::Home;

const SHOP: &str = "lab";
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
async fn what_is_shown_is_fresh_and_sessions_outlive_processes_and_end_everywhere() {
    let shop = shops::open(SHOP, sessions::copies).await.unwrap();
    let folder = Home::find().unwrap().path().join("e2e").join(SHOP).join("run");
    let done = tokio::task::spawn_blocking(move || {
        let layout = Layout::at(&folder);
        let seen = freshness::measure(&small(), &layout)?;
        anyhow::ensure!(seen.is_right() && seen.changes > 0 && seen.replaced > 0, "{seen}");
        sessions::run(&layout)
    });
    shops::close_after(SHOP, shop, done.await.unwrap()).await.unwrap();
}

fn small() -> FreshnessBench {
    FreshnessBench { rate: 200, changes: 20, duration: Duration::from_secs(4), products: 8 }
}
