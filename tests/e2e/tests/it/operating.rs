//! The operator's commands of a service's binary, as they are run in a cluster.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use operator::Shop;
use operator::shop::programs_beside_this;
use testkit::eventually;

use crate::shopper::SETTLED;

/// What `order …` says; it must succeed.
pub fn order(shop: &Shop, arguments: &[&str]) -> Result<String> {
    let output = run(shop, arguments)?;
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "order {arguments:?}: {} {complaint}", output.status);
    Ok(said.into_owned())
}

fn run(shop: &Shop, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(programs_beside_this()?.join("order"));
    // Nothing but the databases: that is all these commands need.
    let command = command.args(arguments).env_clear();
    Ok(command.env("SOUK_DATABASE_URLS", shop.database_urls("order").join(",")).output()?)
}

pub async fn what_operators_do(shop: &Shop) -> Result<()> {
    eventually("everything is sent", SETTLED, async || {
        let status = order(shop, &["outbox", "status"]).ok()?;
        let empty = status.lines().filter(|line| line.contains(" 0 wait"));
        (empty.count() == shop.database_urls("order").len()).then_some(())
    })
    .await;
    ensure!(order(shop, &["dead-letters", "list"])?.is_empty(), "nothing was given up on");
    ensure!(order(shop, &["dead-letters", "redrive", "--all"])?.contains(" 0 will be tried"));
    ensure!(order(shop, &["outbox", "replay", "--since", "2999-01-01T00:00:00Z"])?.contains(" 0 "));

    let old = run(shop, &["outbox", "replay", "--since", "2020-01-01T00:00:00Z"])?;
    let complaint = String::from_utf8_lossy(&old.stderr);
    ensure!(old.status.code() == Some(1) && complaint.contains("keeps 7 days"), "{complaint}");
    for wrong in [
        &["outbox", "replay", "--since", "yesterday"][..],
        &["dead-letters", "redrive"],
        &["dead-letters", "show", "7"],
    ] {
        ensure!(run(shop, wrong)?.status.code() == Some(64), "{wrong:?} makes no sense");
    }
    Ok(())
}
