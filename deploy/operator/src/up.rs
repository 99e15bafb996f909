//! `cargo souk up`: starts the shop, lets a customer buy something, and shows how that went.

use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Result, bail};
use souk::cli::Up;
use souk::style::{bold, dim};
use stores::{Home, Tools};

use crate::layout::Layout;
use crate::shop::{Options, Shop, profile_of_this, programs_beside_this};
use crate::signals::Signals;
use crate::speak::say;
use crate::state::{Phase, State};
use crate::welcome::welcome;
use crate::{control, detached};

/// The whole verb.
///
/// # Errors
/// When the shop does not come up, or its first order is not confirmed.
pub async fn run(home: &Home, up: &Up) -> Result<()> {
    let began = Instant::now();
    let layout = Layout::create(&home.run())?;
    if let Some(state) = State::read(&layout)?.filter(State::is_up) {
        return already(&layout, state).await;
    }
    if up.detach || !std::io::stdout().is_terminal() {
        let state = detached::start(&layout, up).await?;
        return welcome(&layout, &state, began).await;
    }
    let mut signals = Signals::catch()?;
    let shop = start(options(home, up)?, &mut signals).await?;
    let state = shop.state();
    let welcomed = async {
        if let Err(error) = welcome(&layout, &state, began).await {
            eprintln!("{} {error:#}", souk::style::red("error:"));
        }
        say!("\n{}", dim("Ctrl-C stops everything"));
        std::future::pending().await
    };
    tokio::select! {
        _ = signals.next() => {}
        never = welcomed => never,
        never = control::serve(&shop) => never,
    }
    stop(shop, &mut signals).await
}

/// A start that is asked to stop is finished first, because half a start cannot be stopped well. A
/// second signal does not wait for that; the next `up` cleans up.
async fn start(options: Options, signals: &mut Signals) -> Result<Shop> {
    let mut starting = pin!(Shop::start(options));
    let name = tokio::select! {
        shop = &mut starting => return shop,
        name = signals.next() => name,
    };
    tokio::select! {
        shop = starting => shop?.stop().await?,
        _ = signals.next() => {}
    }
    bail!("stopped by {name} before the shop was up");
}

/// Drains; a second signal does not wait for that.
async fn stop(shop: Shop, signals: &mut Signals) -> Result<()> {
    say!("\nstopping (again Ctrl-C: at once)");
    tokio::select! {
        stopped = shop.stop() => stopped?,
        _ = signals.next() => bail!("stopped at once"),
    }
    say!("stopped");
    Ok(())
}

/// The supervisor alone, in the background: what [`detached::start`] starts.
///
/// # Errors
/// When the shop does not come up.
pub async fn supervise(home: &Home, up: &Up) -> Result<()> {
    // A session of its own: the end of a terminal, or a Ctrl-C in it, is not for us.
    let _ = rustix::process::setsid(); // it only fails when we lead one already
    let mut signals = Signals::catch()?;
    let shop = start(options(home, up)?, &mut signals).await?;
    let name = tokio::select! {
        name = signals.next() => name,
        never = control::serve(&shop) => never,
    };
    shop.journal().note(&format!("stopping: {name}"));
    shop.stop().await
}

fn options(home: &Home, up: &Up) -> Result<Options> {
    let collector = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok();
    Ok(Options {
        run: home.run(),
        stores_dir: home.stores(),
        tools: Tools::find(home),
        stores: (&up.stores).into(),
        programs: programs_beside_this()?,
        profile: profile_of_this().to_owned(),
        port: Some(up.port),
        replicas: up.replicas.clone(),
        shards: up.shards,
        inside: Vec::new(),
        restart: true,
        checkout_deadline: None,
        collector: collector.filter(|url| !url.is_empty()),
        environment: Vec::new(),
        aloud: std::io::stdout().is_terminal() && !up.detach,
        // What is measured has no neighbour that it was not measured with before.
        console: profile_of_this() == "dev",
        detour: None,
    })
}

async fn already(layout: &Layout, state: State) -> Result<()> {
    let state = match state.phase {
        Phase::Starting => detached::wait(layout, &state.supervisor, || None).await?,
        Phase::Ready => state,
        Phase::Stopping => bail!("the shop is just going down; wait for it, or: cargo souk down"),
    };
    say!("the shop is up: {}", bold(&state.shop_url()));
    if let Some(console) = state.console_url(layout) {
        say!("the console: {console}");
    }
    say!("{}", dim("cargo souk status shows what runs; cargo souk down stops it"));
    Ok(())
}
