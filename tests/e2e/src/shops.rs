//! Opening and closing a shop for tests.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use operator::{Options, Shop};
use stores::{Home, Server, Stores};

/// Opens a shop in a folder of its own, with two shards; `change` may want it otherwise.
///
/// # Errors
/// When the processes are not built, or something does not come up.
pub async fn open(name: &str, change: impl FnOnce(&mut Options)) -> Result<Shop> {
    let home = Home::find()?;
    let tools = stores::provide(&home, &Server::ALL, &|line| eprintln!("{line}"))?;
    let folder = folder(name)?;
    clear(&folder)?;
    let mut options = Options::in_folder(&folder, tools)?;
    options.shards = 2;
    options.checkout_deadline = Some(Duration::from_secs(45));
    let patience = ["product", "user", "cart", "order", "payment"].map(|service| {
        let ms = testkit::ACQUIRE_MS.to_string();
        (service.to_owned(), "SOUK_DATABASE_ACQUIRE_MS".to_owned(), ms)
    });
    options.environment.extend(patience);
    let missing = "the services are not built: cargo build --workspace --bins";
    anyhow::ensure!(options.programs.join("gateway").is_file(), missing);
    change(&mut options);
    Shop::start(options).await.context("starting the shop")
}

/// Stops it and removes what it wrote.
///
/// # Errors
/// When something does not end, or cannot be removed.
pub async fn close(name: &str, shop: Shop) -> Result<()> {
    shop.stop().await?;
    let folder = folder(name)?;
    Stores::wipe(&folder.join("stores"))?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// The same after a scenario of its own; when that failed, with the logs.
///
/// # Errors
/// What came of the scenario, or else as [`close`].
pub async fn close_after(name: &str, shop: Shop, done: Result<()>) -> Result<()> {
    if done.is_err() {
        print_logs(&shop);
    }
    close(name, shop).await?;
    done
}

/// Removes what a test that was killed has left: the stores' data, and the provider's ledger.
///
/// # Errors
/// When it cannot be removed.
pub fn clear(folder: &Path) -> Result<()> {
    Stores::wipe(&folder.join("stores"))?;
    match std::fs::remove_dir_all(folder.join("run/psp")) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn folder(name: &str) -> Result<PathBuf> {
    let folder = Home::find()?.path().join("e2e").join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The end of every process's log, for whoever has to find out what failed.
pub fn print_logs(shop: &Shop) {
    for process in shop.processes() {
        let name = &process.task.name;
        let log = std::fs::read_to_string(shop.log_of(name)).unwrap_or_default();
        let from = log.lines().count().saturating_sub(40);
        println!("---- the end of {name}'s log");
        log.lines().skip(from).for_each(|line| println!("{line}"));
    }
}
