//! `cargo souk test`: every check, in order, with a list at the end of what was run and what was not.

use crate::browser::Browser;
use crate::build::{self, Profile};
use crate::{Result, machine, style, validators};
use std::fmt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use stores::{Home, Options, Packages, Stores};

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

/// What `--all` adds: suites that take long, or fetch programs of their own.
const LONG: [Suite; 11] = [
    Suite { name: "crashes", run: crashes, skip: |_| None },
    Suite { name: "manifests", run: |home| manifests(home, "rules"), skip: without_kubectl },
    Suite { name: "schemas", run: |home| manifests(home, "schemas"), skip: without_validators },
    Suite { name: "checkov", run: |home| manifests(home, "checkov"), skip: without_validators },
    Suite { name: "compose", run: |home| manifests(home, "compose"), skip: without_python },
    Suite { name: "grpcio", run: grpcio, skip: no_grpcio },
    Suite { name: "nats", run: nats, skip: no_newest_nats },
    Suite { name: "chaos", run: chaos, skip: |_| None },
    Suite { name: "edge", run: edge, skip: no_nginx },
    Suite { name: "browser", run: browser, skip: no_browser },
    Suite { name: "containers", run: containers, skip: |_| None },
];

/// What a suite answers that only finds out while it runs that this machine cannot run it.
#[derive(Debug)]
struct Skip(String);

impl std::error::Error for Skip {}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs the suites up to the first failure; with `all` also the long ones.
///
/// # Errors
/// When one failed.
pub fn run(home: &Home, all: bool) -> Result {
    machine::check_for_build(home)?;
    machine::provide_stores(home, &Options::default(), false)?;
    if all {
        fetch_meanwhile(home.clone());
    }
    let mut outcomes = Vec::new();
    let mut failed = false;
    let readme = no_shop(home);
    for suite in SUITES.iter().chain(LONG.iter().filter(|_| all)) {
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
        Err(error) => match error.downcast::<Skip>() {
            Ok(skip) => Outcome::Skipped(skip.0),
            Err(error) => Outcome::Failed(started.elapsed(), error.to_string()),
        },
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
        println!("  {name:<10} {word} {detail}");
    }
    if !all {
        let names = LONG.map(|suite| suite.name).join(", ");
        println!("  not run without --all: {names}");
    }
}

/// Fetches the outside judges: kubectl, validators written in Python, its gRPC, another nats-server, and a browser.
///
/// # Errors
/// Why something cannot be had.
pub fn fetch_judges(home: &Home) -> Result {
    let missing = without_validators(home).or_else(|| no_grpcio(home));
    let missing = missing.or_else(|| no_newest_nats(home)).or_else(|| no_browser(home));
    missing.map_or(Ok(()), |why| Err(why.into()))
}

/// While the compiler is busy the network is not. What fails here is tried again where it is needed,
/// and then said.
fn fetch_meanwhile(home: Home) {
    thread::spawn(move || {
        let _ = validators::provide_kubectl(&home, &|_| ());
        let _ = validators::provide(&home, &|_| ());
        let _ = validators::provide_grpcio(&home, &|_| ());
        let _ = validators::provide_nats(&home, &|_| ());
        let _ = Browser::provide(&home, &|_| ());
    });
}

fn without_kubectl(home: &Home) -> Option<String> {
    provided(|progress| validators::provide_kubectl(home, progress))
}

fn without_python(home: &Home) -> Option<String> {
    provided(|progress| validators::provide(home, progress))
}

fn without_validators(home: &Home) -> Option<String> {
    without_kubectl(home).or_else(|| without_python(home))
}

/// Why something cannot be had.
fn provided(provide: impl FnOnce(stores::Progress) -> Result) -> Option<String> {
    let progress = style::Progress::new();
    let result = provide(&|line| progress.show(line));
    progress.end();
    result.err().map(|error| error.to_string())
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

/// Builds all programs, not the one that it needs: the tests want them in any case.
fn sqlx(home: &Home) -> Result {
    build::everything(home)?;
    let program = build::operator(Profile::Dev)?;
    let status =
        Command::new(program).args(["sqlx", "--check"]).current_dir(home.workspace()).status()?;
    build::succeeded(status, "sqlx --check")
}

/// The programs first: tests of the whole shop run them.
fn tests(home: &Home) -> Result {
    build::everything(home)?;
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace"]);
    if no_shop(home) {
        command.env("SOUK_TEST_README", "1");
    }
    build::succeeded(command.status()?, "cargo test --workspace")
}

/// Services with crash points, built beside those without: only what is ours is compiled once more.
fn crashes(home: &Home) -> Result {
    let points = ["--bin", "crashing-shop", "--features", "crashes/failpoints"];
    cargo(home, &[&["build", "--workspace"][..], &points].concat())?;
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace", "--test", "crashes"]).env("SOUK_TEST_CRASHES", "1");
    build::succeeded(command.status()?, "cargo test --workspace --test crashes")
}

/// README's commands, which are a test, start and wipe the shop of this checkout.
fn no_shop(home: &Home) -> bool {
    !home.stores().exists() && !home.state_file().exists()
}

/// A minute of faults with each fixed seed, the same for every change, and one with a seed that nobody has tried.
fn chaos(home: &Home) -> Result {
    build::everything(home)?;
    let program = build::operator(Profile::Dev)?.with_file_name("chaos");
    for seed in [Some("1"), Some("2"), Some("3"), None] {
        let mut chaos = Command::new(&program);
        chaos.args(["--minutes", "1"]).args(seed.map(|seed| ["--seed", seed]).iter().flatten());
        build::succeeded(chaos.current_dir(home.workspace()).status()?, "chaos")?;
    }
    Ok(())
}

/// The edge's configuration in a real nginx, in front of real gateways.
fn edge(home: &Home) -> Result {
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace", "--test", "edge"]).env("SOUK_TEST_EDGE", "1");
    build::succeeded(command.status()?, "cargo test --workspace --test edge")
}

fn no_nginx(home: &Home) -> Option<String> {
    let fetched = Packages::provide(home, "nginx", &["nginx"], &|line| println!("{line}"));
    fetched.err().map(|error| format!("no nginx: {error}"))
}

/// The storefront in a Chromium, as customers use it.
fn browser(home: &Home) -> Result {
    build::everything(home)?;
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace", "--test", "browser"]).env("SOUK_TEST_BROWSER", "1");
    build::succeeded(command.status()?, "cargo test --workspace --test browser")
}

fn no_browser(home: &Home) -> Option<String> {
    provided(|progress| Browser::provide(home, progress).map(drop))
}

/// Somebody else's gRPC before a service of ours.
fn grpcio(home: &Home) -> Result {
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace", "--test", "it", "--", "pythons_client"]);
    build::succeeded(command.env("SOUK_TEST_GRPCIO", "1").status()?, "pythons_client")
}

fn no_grpcio(home: &Home) -> Option<String> {
    provided(|progress| validators::provide_grpcio(home, progress))
}

/// Messaging on the newest nats-server; `tests` tries it on the one that is found, Debian's old one say.
fn nats(home: &Home) -> Result {
    let program = validators::provide_nats(home, &|_| ())?;
    let mut command = build::cargo(home)?;
    command.args(["test", "--workspace", "--test", "messaging"]);
    command.args(["--", "--test-threads", "8"]); // they wait more than they work
    build::succeeded(command.env(stores::NATS_VARIABLE, program).status()?, "messaging")
}

fn no_newest_nats(home: &Home) -> Option<String> {
    provided(|progress| validators::provide_nats(home, progress).map(drop))
}

/// The compose file's containers. The program's exit code 77 says that there is no engine to be had.
fn containers(home: &Home) -> Result {
    build::everything(home)?;
    let program = build::operator(Profile::Dev)?.with_file_name("containers");
    let mut command = Command::new(program);
    let output = command.current_dir(home.workspace()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    if output.status.code() == Some(77) {
        return Err(Skip(said.lines().last().unwrap_or_default().to_owned()).into());
    }
    build::succeeded(output.status, "containers")
}

/// One check of the manifests. The program came with the suite `tests`.
fn manifests(home: &Home, check: &str) -> Result {
    let program = build::operator(Profile::Dev)?.with_file_name("manifests");
    let status = Command::new(program).arg(check).current_dir(home.workspace()).status()?;
    build::succeeded(status, &format!("manifests {check}"))
}
