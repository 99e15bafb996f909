//! README's shell blocks, run unchanged. They start and wipe the shop of this checkout, so this
//! runs only when asked to by `SOUK_TEST_README=1`, as `cargo souk test` does where there is no
//! shop with data to lose.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use stores::Home;

use crate::Skipped;

pub const VARIABLE: &str = "SOUK_TEST_README";

pub async fn readme_runs_as_it_is_printed() -> Result<()> {
    if std::env::var_os(VARIABLE).is_none_or(|value| value != "1") {
        bail!(Skipped("it would wipe this checkout's shop: SOUK_TEST_README=1 allows that"));
    }
    let home = Home::find()?;
    let readme = std::fs::read_to_string(home.workspace().join("README.md"))?;
    let mut bash = Command::new("bash");
    bash.args(["-c", &tidy::readme::script(&readme)]).current_dir(home.workspace());
    bash.stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || bash.output()).await??;
    let _wiped = Command::new("cargo").args(["souk", "down", "--wipe"]).output();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    ensure!(ran.status.success(), "{}\n{out}\n{err}", ran.status);
    let five = out.lines().find(|line| line.trim_start().starts_with("5 "));
    five.context("five checkouts with one key are one order")?;
    for proof in ["\"state\":\"confirmed\"", "payment_declined", "\"code\":\"product_not_found\""] {
        ensure!(out.contains(proof), "README shows no {proof}: {out}");
    }
    Ok(())
}
