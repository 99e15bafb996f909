//! The storefront in a Chromium, in front of a shop of its own with two gateways: each `*.test.mjs` of this crate, run by
//! Node.js. Part of `cargo souk test --all`, which sets `SOUK_TEST_BROWSER`.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod front;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use operator::control;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use front::Front;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("SOUK_TEST_BROWSER").is_none() || arguments.list {
        println!("browser: part of cargo souk test --all (SOUK_TEST_BROWSER=1)");
        return ExitCode::SUCCESS;
    }
    arguments.test_threads = Some(1); // some of them stop what the others use
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let runtime = Runtime::new()?;
    let front = Arc::new(runtime.block_on(Front::open())?);
    let trials = trials(&front)?;
    let conclusion = runtime.block_on(async {
        let running = spawn_blocking(move || libtest_mimic::run(&arguments, trials));
        tokio::select! {
            conclusion = running => conclusion,
            never = control::serve(front.shop()) => never,
        }
    })?;
    let front = Arc::into_inner(front).context("a test has not ended")?;
    runtime.block_on(front.close(conclusion.has_failed()))?;
    Ok(conclusion.exit_code())
}

/// One for each script, named as its file is.
fn trials(front: &Arc<Front>) -> Result<Vec<Trial>> {
    let trial = |script: PathBuf| {
        let front = Arc::clone(front);
        Trial::test(name(&script), move || test(&front, &script).map_err(Failed::from))
    };
    Ok(scripts()?.into_iter().map(trial).collect())
}

fn test(front: &Front, script: &Path) -> Result<(), String> {
    let ended = front.node().args(["--test", "--test-reporter", "spec"]).arg(script).status();
    let status = ended.map_err(|error| format!("cannot run Node.js: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", name(script))) }
}

fn scripts() -> Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))?;
    let mut scripts: Vec<PathBuf> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(".test.mjs")))
        .collect();
    scripts.sort();
    ensure!(!scripts.is_empty(), "there are no tests");
    Ok(scripts)
}

fn name(script: &Path) -> String {
    let file = script.file_name().unwrap_or_default().to_string_lossy();
    file.trim_end_matches(".test.mjs").to_owned()
}
