//! Starts a shop for one measurement and removes it afterwards.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use operator::layout::Layout;
use operator::signals::Signals;
use operator::state::State;
use operator::{Options, Shop};
use souk::cli::SERVICES;
use stores::{Home, Pgbench, Server, Stores};
use tokio::task::spawn_blocking;

/// So much of the traces is kept.
pub(crate) const TRACE_RATIO: f64 = 0.01;

/// Opens a shop in a folder, measures it, and leaves nothing there. `change` may want it otherwise. `measure` gets its layout,
/// and the URL of PostgreSQL's superuser.
///
/// # Errors
/// Those of `measure`; when the shop does not come up, or a signal stops it.
pub(crate) async fn with_shop<R: Send + 'static>(
    folder: &Path,
    change: impl FnOnce(&mut Options),
    measure: impl FnOnce(&Layout, &str) -> Result<R> + Send + 'static,
) -> Result<R> {
    let mut signals = Signals::catch()?;
    let shop = open(folder, change).await.context("starting the shop")?;
    let layout = Layout::at(&folder.join("run"));
    let server = shop.endpoints().postgres_url.clone();
    let measured = tokio::select! {
        measured = spawn_blocking(move || measure(&layout, &server)) => measured?,
        name = signals.next() => Err(anyhow!("stopped by {name}")),
    };
    let stopped = shop.stop().await;
    let report = measured.with_context(|| format!("logs are in {}", folder.display()))?;
    stopped?;
    clear(folder)?;
    Ok(report)
}

async fn open(folder: &Path, change: impl FnOnce(&mut Options)) -> Result<Shop> {
    let say = |line: &str| operator::speak::line(format_args!("{line}"));
    let tools = stores::provide(&Home::find()?, &Server::ALL, &say)?;
    Pgbench::of(&tools)?; // rather now than after a minute
    let other = State::read(&Layout::at(&folder.join("run"))).ok().flatten();
    ensure!(!other.is_some_and(|other| other.is_up()), "another measurement is under way here");
    clear(folder)?;
    std::fs::create_dir_all(folder)?;
    let mut options = Options::in_folder(folder, tools)?;
    options.restart = false;
    options.stores.statements = true;
    let sampled = SERVICES.map(|service| {
        (service.to_owned(), "SOUK_TRACE_RATIO".to_owned(), TRACE_RATIO.to_string())
    });
    options.environment.extend(sampled);
    change(&mut options);
    Shop::start(options).await
}

fn clear(folder: &Path) -> Result<()> {
    Stores::wipe(&folder.join("stores"))?;
    if folder.is_dir() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}
