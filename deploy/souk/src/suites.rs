//! `cargo souk test`: every check, in order, with a list at the end of what was run and what was not.

use crate::build::{self, Profile};
use crate::{Result, machine, style};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stores::{Home, Options, Stores};

/// One thing that can fail.
struct Suite {
    name: &'static str,
    run: fn(&Home) -> Result,
    /// Why it cannot be run on this machine.
    skip: fn(&Home) -> Option<String>,
}

/// What became of a suite.
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    Skipped(String),
}

const SUITES: [Suite; 4] = [
    Suite { name: "format", run: format, skip: |home| component(home, "fmt", "rustfmt") },
    Suite { name: "clippy", run: clippy, skip: |home| component(home, "clippy", "clippy") },
    Suite { name: "sqlx", run: sqlx, skip: |_| None },
    Suite { name: "tests", run: tests, skip: |_| None },
];

/// Runs the suites up to the first failure. `all` is for suites that take long; there are none yet.
///
/// # Errors
/// When one failed.
pub fn run(home: &Home, all: bool) -> Result {
    machine::check_for_build(home)?;
    machine::provide_stores(home, &Options::default(), false)?;
    let mut outcomes = Vec::new();
    let mut failed = false;
    let readme = no_shop(home);
    for suite in &SUITES {
        let outcome =
            if failed { Outcome::Skipped("not reached".into()) } else { run_one(home, suite) };
        failed |= matches!(outcome, Outcome::Failed(..));
        outcomes.push((suite.name, outcome));
    }
    let stopped = Stores::stop_at(&home.test_stores());
    if !readme {
        let why = "this checkout has a shop that README would wipe: cargo souk down --wipe";
        outcomes.push(("readme", Outcome::Skipped(why.into())));
    }
    list(&outcomes, all);
    stopped?;
    if failed { Err("not everything passed".into()) } else { Ok(()) }
}

fn run_one(home: &Home, suite: &Suite) -> Outcome {
    if let Some(reason) = (suite.skip)(home) {
        return Outcome::Skipped(reason);
    }
    println!("\n{}", style::bold(&format!("== {}", suite.name)));
    let started = Instant::now();
    match (suite.run)(home) {
        Ok(()) => Outcome::Passed(started.elapsed()),
        Err(error) => Outcome::Failed(started.elapsed(), error.to_string()),
    }
}

fn list(outcomes: &[(&str, Outcome)], all: bool) {
    println!("\n{}", style::bold("suites"));
    for (name, outcome) in outcomes {
        let (word, detail) = match outcome {
            Outcome::Passed(time) => {
                (style::green("passed "), format!("{:>6.1} s", time.as_secs_f64()))
            }
            Outcome::Failed(time, why) => {
                (style::red("FAILED "), format!("{:>6.1} s  {why}", time.as_secs_f64()))
            }
            Outcome::Skipped(why) => (style::yellow("skipped"), why.clone()),
        };
        println!("  {name:<8} {word} {detail}");
    }
    if all {
        println!("  --all adds nothing: there are no further suites");
    }
}

/// Without a component the rest is still worth running; the list says what was not.
fn component(home: &Home, subcommand: &str, component: &str) -> Option<String> {
    let mut command = build::cargo(home).ok()?;
    command.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    let there = command.status().is_ok_and(|status| status.success());
    (!there).then(|| format!("{component} is not installed (rustup component add {component})"))
}

fn cargo(home: &Home, arguments: &[&str]) -> Result {
    let mut command = build::cargo(home)?;
    command.args(arguments);
    build::succeeded(command.status()?, &format!("cargo {}", arguments.join(" ")))
}

fn format(home: &Home) -> Result {
    cargo(home, &["fmt", "--all", "--check"])
}

fn clippy(home: &Home) -> Result {
    cargo(home, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn sqlx(home: &Home) -> Result {
    build::operator_only(home, Profile::Dev)?;
    let program = build::operator(Profile::Dev)?;
    let status =
        Command::new(program).args(["sqlx", "--check"]).current_dir(home.workspace()).status()?;
    build::succeeded(status, "sqlx --check")
}

/// The programs first: tests of the whole shop run them.
fn tests(home: &Home) -> Result {
    build::shop(home, Profile::Dev)?;
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace"]);
    if no_shop(home) {
        command.env("SOUK_TEST_README", "1");
    }
    build::succeeded(command.status()?, "cargo test --workspace")
}

/// README's commands, which are a test, start and wipe the shop of this checkout.
fn no_shop(home: &Home) -> bool {
    !home.stores().exists() && !home.state_file().exists()
}
