//! `cargo souk up`: starts the shop, lets a customer buy something, and shows how that went.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use souk::cli::Up;
use souk::style::{bold, dim, green};
use stores::{Home, Tools};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::Api;
use crate::customer::{Purchase, Wish, buy};
use crate::layout::Layout;
use crate::secrets::{STAFF_EMAIL, Secrets};
use crate::shop::{Options, Shop, profile_of_this, programs_beside_this};
use crate::speak::say;
use crate::state::{Phase, State};
use crate::{catalogue, detached, timeline};

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
    tokio::select! {
        welcomed = welcome(&layout, &state, began) => {
            if let Err(error) = welcomed {
                eprintln!("{} {error:#}", souk::style::red("error:"));
            }
            say!("\n{}", dim("Ctrl-C stops everything"));
            signals.next().await;
        }
        _ = signals.next() => {}
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
    let name = signals.next().await;
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
        restart: true,
        checkout_deadline: None,
        collector: collector.filter(|url| !url.is_empty()),
        environment: Vec::new(),
        aloud: std::io::stdout().is_terminal() && !up.detach,
    })
}

async fn already(layout: &Layout, state: State) -> Result<()> {
    let state = match state.phase {
        Phase::Starting => detached::wait(layout, &state.supervisor, || None).await?,
        Phase::Ready => state,
        Phase::Stopping => bail!("the shop is just going down; wait for it, or: cargo souk down"),
    };
    say!("the shop is up: {}", bold(&state.shop_url()));
    say!("{}", dim("cargo souk status shows what runs; cargo souk down stops it"));
    Ok(())
}

/// Fills the shelves, lets a customer buy something, and shows around.
async fn welcome(layout: &Layout, state: &State, began: Instant) -> Result<()> {
    say!("{:<10} {} in {}", "stores", store_names(state), seconds_ms(state.stores_ms));
    say!("{:<10} {} in {}", "processes", process_names(state), seconds_ms(state.processes_ms));
    let api = Api::new(&state.shop_url());
    let filling = Instant::now();
    let lines = catalogue::own()?;
    let count = lines.len();
    let password = Secrets::at(layout).staff_password()?;
    let token = api.sign_in(STAFF_EMAIL, &password).await.context("signing in as staff")?;
    let imported =
        catalogue::upload(&api, &token, lines, |_| ()).await.context("filling the shelves")?;
    let added = imported.added;
    let took = seconds(filling.elapsed());
    say!("{:<10} {count} products of our own, {added} of them new, in {took}", "catalogue");
    say!("\n{}", bold("a customer buys something"));
    let purchase = Purchase {
        wish: Wish::Search("cups".into()),
        quantity: 2,
        card_token: "tok_approve".into(),
    };
    let bought = buy(&api, &purchase).await?;
    timeline::draw(&bought).iter().for_each(|line| say!("  {line}"));
    if bought.order.state != "confirmed" {
        bail!("the order was {}, not confirmed", bought.order.state);
    }
    say!("\n{} {} after the build", green("settled"), seconds(began.elapsed()));
    around(layout, state);
    Ok(())
}

fn around(layout: &Layout, state: &State) {
    let payment = state.of("payment").find_map(|entry| entry.process.as_ref());
    let pid = payment.map_or_else(|| "PID".to_owned(), |process| process.pid.to_string());
    let shop = state.shop_url();
    say!("\n{:<10} {}", "shop", bold(&shop));
    say!("{:<10} {} (password: {})", "staff", STAFF_EMAIL, password_file(layout));
    if let Some(collector) = state.collector.as_ref().filter(|_| state.traces_url.is_none()) {
        say!("{:<10} {collector}", "traces");
    }
    say!("\n{}", bold("try next"));
    say!("  cargo souk order --card decline            a card that is declined, as a trace");
    say!("  curl -s '{shop}/v1/search?q=lanterns'");
    say!(
        "  kill -9 {pid}; cargo souk order              payment dies; the order settles all the same"
    );
    say!("{}", dim("  cargo souk status · cargo souk logs order -f · cargo souk down"));
}

fn password_file(layout: &Layout) -> String {
    let path = Secrets::at(layout).staff_password_file();
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(&path).display().to_string()
}

fn store_names(state: &State) -> String {
    let name = |store: &crate::state::Store| match store.process {
        Some(_) => store.name.clone(),
        None => format!("{} (yours)", store.name),
    };
    state.stores.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn process_names(state: &State) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &state.processes {
        *counts.entry(&entry.task.service).or_default() += 1;
    }
    let name = |(name, count): (&&str, &usize)| match count {
        1 => (*name).to_owned(),
        _ => format!("{name} ×{count}"),
    };
    counts.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn seconds_ms(millis: u64) -> String {
    seconds(Duration::from_millis(millis))
}

/// What asks us to stop.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
