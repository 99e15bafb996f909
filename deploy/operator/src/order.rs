//! `cargo souk order`: one order like a customer's, its timeline, and its trace.

use std::time::Duration;

use anyhow::{Result, bail};
use souk::cli::{Card, Order};
use souk::style::{bold, dim};
use stores::Home;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::customer::{Bought, Purchase, Wish, buy};
use crate::http::Client;
use crate::speak::say;
use crate::traces::Trace;
use crate::{running, speak, timeline, tree};

/// A checkout leaves a span in each of these.
const SERVICES: [&str; 6] = ["gateway", "order", "cart", "product", "user", "payment"];
/// Exporters send what they have every tenth of a second.
const TREE_MAX: Duration = Duration::from_secs(8);
const QUIET: Duration = Duration::from_millis(400);
const POLL: Duration = Duration::from_millis(100);

/// The whole verb.
///
/// # Errors
/// When the outcome is not what the card stands for, or spans are missing.
pub async fn run(home: &Home, options: &Order) -> Result<()> {
    let (_, state) = running::shop(home)?;
    let wish = match &options.product {
        Some(sku) => Wish::Sku(sku.clone()),
        None => Wish::Search("cups".into()),
    };
    let purchase =
        Purchase { wish, quantity: options.quantity, card_token: token(options.card).to_owned() };
    let bought = buy(&Api::new(&state.shop_url()), &purchase).await?;
    speak::lines(&timeline::draw(&bought));
    match (&state.traces_url, &state.collector) {
        (Some(url), _) => show_tree(url, &bought).await?,
        (None, Some(collector)) => {
            say!("\n{}", dim(&format!("the spans of this trace are at {collector}")));
        }
        (None, None) => {}
    }
    expect(options.card, &bought)
}

fn token(card: Card) -> &'static str {
    match card {
        Card::Approve => "tok_approve",
        Card::Decline => "tok_decline",
        Card::Hang => "tok_hang",
        Card::Lost => "tok_lost",
    }
}

/// A lost answer is found again by asking; one that hangs runs into the deadline.
fn expect(card: Card, bought: &Bought) -> Result<()> {
    let reason = bought.order.cancel_reason.as_deref();
    let expected = match card {
        Card::Approve | Card::Lost => None,
        Card::Decline => Some("payment_declined"),
        Card::Hang => Some("deadline"),
    };
    if reason == expected && bought.order.is_settled() {
        return Ok(());
    }
    let became =
        reason.map_or(bought.order.state.clone(), |reason| format!("cancelled ({reason})"));
    bail!("the order was {became}, which is not what this card stands for");
}

async fn show_tree(traces_url: &str, bought: &Bought) -> Result<()> {
    // Without stock nobody is asked to pay.
    let paid = bought.order.cancel_reason.as_deref() != Some("out_of_stock");
    let services: Vec<&str> =
        SERVICES.into_iter().filter(|service| paid || *service != "payment").collect();
    let (trace, missing) = received(traces_url, &bought.trace_id, &services).await?;
    say!("\n{}", bold("trace"));
    speak::lines(&tree::draw(&trace));
    if missing.is_empty() {
        return Ok(());
    }
    bail!("the trace is not whole, missing: {}", missing.join(", "));
}

/// Waits until the trace is whole and nothing more comes, and at most for some seconds.
async fn received(
    traces_url: &str,
    trace_id: &str,
    services: &[&str],
) -> Result<(Trace, Vec<String>)> {
    let client = Client::new(traces_url);
    let deadline = Instant::now() + TREE_MAX;
    let (mut spans, mut since) = (0, Instant::now());
    loop {
        let answer = client.get(&format!("/traces/{trace_id}")).await?;
        let trace = match answer.status {
            404 => Trace { trace_id: trace_id.to_owned(), spans: Vec::new() },
            _ => answer.json()?,
        };
        if trace.spans.len() != spans {
            (spans, since) = (trace.spans.len(), Instant::now());
        }
        let missing = tree::missing(&trace, services);
        let whole = missing.is_empty() && since.elapsed() >= QUIET;
        if whole || Instant::now() >= deadline {
            return Ok((trace, missing));
        }
        sleep(POLL).await;
    }
}
