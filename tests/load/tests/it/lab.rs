use e2e::shops;
use load::lab::sessions;
use operator::layout::Layout;
use souk::cli::EXPERIMENTS;
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
async fn sessions_outlive_processes_and_end_everywhere() {
    let shop = shops::open(SHOP, sessions::copies).await.unwrap();
    let folder = Home::find().unwrap().path().join("e2e").join(SHOP).join("run");
    let done = tokio::task::spawn_blocking(move || sessions::run(&Layout::at(&folder))).await;
    shops::close_after(SHOP, shop, done.unwrap()).await.unwrap();
}
