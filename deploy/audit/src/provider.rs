//! The provider's own ledger, over its HTTP API: page by page, as any customer of it would.

use anyhow::Result;
use operator::http::Client;
use serde::Deserialize;

use crate::facts::Facts;

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Entry {
    kind: Kind,
    reference: String,
    amount: Amount,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Capture,
    Refund,
}

#[derive(Deserialize)]
struct Amount {
    currency: String,
    minor_units: i64,
}

/// Reads all of it.
pub(crate) async fn gather(url: &str, facts: &mut Facts) -> Result<()> {
    let client = Client::new(url);
    let mut after = Some(0);
    while let Some(from) = after {
        let path = format!("/v1/ledger?after={from}&limit=1000");
        let page: Page = client.get(&path).await?.json()?;
        page.entries.iter().for_each(|entry| take(facts, entry));
        after = page.next;
    }
    Ok(())
}

/// The shop names a payment by its order.
fn take(facts: &mut Facts, entry: &Entry) {
    let Ok(order) = entry.reference.parse() else {
        facts.strangers.push(entry.reference.clone());
        return;
    };
    let booked = facts.provider.entry(order).or_default();
    let Amount { currency, minor_units } = &entry.amount;
    match entry.kind {
        Kind::Capture => booked.add(currency, 1, *minor_units, 0),
        Kind::Refund => booked.add(currency, 0, 0, *minor_units),
    }
}
