//! The first minute of a shop: the shelves are filled, a customer buys something, and whoever came
//! is shown around.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use souk::style::{bold, dim, green};

use crate::api::Api;
use crate::customer::{Purchase, Wish, buy};
use crate::layout::Layout;
use crate::secrets::{STAFF_EMAIL, Secrets};
use crate::speak::say;
use crate::state::State;
use crate::{catalogue, timeline};

/// Fills the shelves, lets a customer buy something, and shows around.
///
/// # Errors
/// When the shop refuses, or the order is not confirmed.
pub async fn welcome(layout: &Layout, state: &State, began: Instant) -> Result<()> {
    say!("{:<10} {} in {}", "stores", store_names(state), seconds_ms(state.stores_ms));
    say!("{:<10} {} in {}", "processes", process_names(state), seconds_ms(state.processes_ms));
    let api = Api::new(&state.shop_url());
    let filling = Instant::now();
    let password = Secrets::at(layout).staff_password()?;
    let (count, added) = catalogue::fill(&api, &password).await?;
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
    if let Some(console) = state.console_url(layout) {
        say!("{:<10} {}", "console", bold(&console));
    }
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
    say!("  cargo souk fault pause payment --for 20    it stands still, while you buy in the shop");
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
