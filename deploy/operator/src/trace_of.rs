//! `cargo souk trace`: what happened in an order, in every service, for people and for programs.

use anyhow::{Result, bail};
use souk::cli::TraceOf;
use stores::Home;

use crate::http::Client;
use crate::speak::say;
use crate::traces::Trace;
use crate::{running, speak, tree};

/// The whole verb.
///
/// # Errors
/// When the shop is down, its spans go to another collector, or nothing was received of this order.
pub async fn run(home: &Home, options: &TraceOf) -> Result<()> {
    let (_, state) = running::shop(home)?;
    let Some(url) = &state.traces_url else {
        bail!(
            "the spans of this shop go to {}",
            state.collector.as_deref().unwrap_or("another collector")
        );
    };
    let order = &options.order;
    let answer = Client::new(url).get(&format!("/orders/{order}/trace")).await?;
    if answer.status == 404 {
        bail!(
            "no trace of order {order}: it was not recorded (1 % of what comes over /v1 is, and every page), or it is too old"
        );
    }
    let trace: Trace = answer.json()?;
    if options.json {
        say!("{}", serde_json::to_string(&trace)?);
    } else {
        speak::lines(&tree::draw(&trace));
    }
    Ok(())
}
