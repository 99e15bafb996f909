//! Options of `load`: what is sent, how much of it, and what is expected of the answers.
//!
//! They stand here and not beside the generator so that a mistake is told at once, before anything
//! is built.

use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Options of `load`.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Where the shop is, http://host:port; without it, the one that `cargo souk up` runs
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub target: Option<String>,
    /// What customers do
    #[arg(long, value_enum, default_value_t = Scenario::Mix)]
    pub scenario: Scenario,
    /// The same from a file: {"weights": {"browse": 10, "checkout": 1}, "zipf": 1.0, "products": 1000}
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    pub scenario_file: Option<PathBuf>,
    /// Requests a second, whether or not the shop keeps up
    #[arg(long, value_name = "N", required_unless_present = "steps", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,
    /// From one rate to another in eight steps, to see where the shop's knee is
    #[arg(long, value_name = "A..B", conflicts_with = "rate")]
    pub steps: Option<Steps>,
    /// How long; with --steps, of each step [default: 30s, a step 10s, spike 60s, soak 30m, shard-outage 3m]
    #[arg(long, value_name = "D", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Customers with an account; each costs two password hashes before the run
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub users: u32,
    /// What is expected, and an exit code of 1 where it is missed: [read|cart|checkout|settled:]p99=50ms, errors=0.1%
    #[arg(long, value_name = "SLO")]
    pub slo: Vec<Slo>,
    /// Folder for report.txt, report.json and report.html [default: a new one in .souk/load]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// File with the password of the target's staff account, to bring products and stock; without it
    /// what the shop has is bought
    #[arg(long, value_name = "FILE", env = "SOUK_STAFF_PASSWORD_FILE")]
    pub staff_password_file: Option<PathBuf>,
}

/// What customers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The classic shop mix: home 1, browse 10, view cart 3, add 2, checkout 1
    Mix,
    /// Looking around: home 1, browse 10, search 1
    Browse,
    /// Buying: add 1, checkout 1
    Checkout,
    /// Everybody wants one product: browse 2, add 1, checkout 1
    HotProduct,
    /// The mix; a third of the time three times as much of it
    Spike,
    /// The mix for half an hour
    Soak,
    /// The mix; a third of the time the last database of carts and of orders takes no connections
    ShardOutage,
}

impl Scenario {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Mix => "mix",
            Scenario::Browse => "browse",
            Scenario::Checkout => "checkout",
            Scenario::HotProduct => "hot-product",
            Scenario::Spike => "spike",
            Scenario::Soak => "soak",
            Scenario::ShardOutage => "shard-outage",
        }
    }
}

/// From one rate to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Requests a second of the first step.
    pub from: u32,
    /// Requests a second of the last step.
    pub to: u32,
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Steps, String> {
        let parse =
            |number: &str| number.parse::<u32>().ok().filter(|rate| (1..=100_000).contains(rate));
        let ends = text.split_once("..").and_then(|(from, to)| Some((parse(from)?, parse(to)?)));
        match ends {
            Some((from, to)) if from < to => Ok(Steps { from, to }),
            _ => Err("expected two rates, the smaller one first, such as 500..4000".to_owned()),
        }
    }
}

/// What an expectation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The catalogue: home, browse, search.
    Read,
    /// Carts: view, add.
    Cart,
    /// Placing an order, up to its acceptance.
    Checkout,
    /// From the acceptance of an order to its end.
    Settled,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 4] = [Class::Read, Class::Cart, Class::Checkout, Class::Settled];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Cart => "cart",
            Class::Checkout => "checkout",
            Class::Settled => "settled",
        }
    }
}

/// A service level that is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slo {
    /// This share of a class is answered within a time.
    Latency {
        /// Of this class; without it, of each class of requests.
        class: Option<Class>,
        /// The share, in per cent.
        percentile: f64,
        /// The time.
        limit: Duration,
    },
    /// At most this share of the requests fails, in per cent.
    Errors(f64),
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Slo, String> {
        let form = "expected p99=50ms, checkout:p99.9=1s, settled:p99=2s or errors=0.1%";
        let (what, limit) = text.split_once('=').ok_or(form)?;
        if what == "errors" {
            let share = limit.strip_suffix('%').and_then(percent).ok_or(form)?;
            return Ok(Slo::Errors(share));
        }
        let (class, percentile) = match what.split_once(':') {
            Some((name, rest)) => {
                let class = Class::ALL.into_iter().find(|class| class.name() == name);
                (Some(class.ok_or(form)?), rest)
            }
            None => (None, what),
        };
        let percentile = percentile.strip_prefix('p').and_then(percent).ok_or(form)?;
        Ok(Slo::Latency { class, percentile, limit: duration(limit)? })
    }
}

fn percent(text: &str) -> Option<f64> {
    text.parse().ok().filter(|share| (0.0..=100.0).contains(share))
}

/// `500ms`, `30s`, `5m` or `1h`, and not nothing.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor_ms));
    match ms {
        Some(ms @ 1..) => Ok(Duration::from_millis(ms)),
        _ => Err("expected a duration such as 500ms, 30s, 5m or 1h".to_owned()),
    }
}

fn http_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match rest {
        Some(place) if !place.is_empty() && !place.contains(['/', '@', '?']) => {
            Ok(format!("http://{place}"))
        }
        _ => Err("expected http://host:port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_read() {
        let latency = |class, percentile, ms| {
            Ok(Slo::Latency { class, percentile, limit: Duration::from_millis(ms) })
        };
        for (text, slo) in [
            ("p99=50ms", latency(None, 99.0, 50)),
            ("checkout:p99.9=1s", latency(Some(Class::Checkout), 99.9, 1_000)),
            ("settled:p50=2m", latency(Some(Class::Settled), 50.0, 120_000)),
            ("errors=0.1%", Ok(Slo::Errors(0.1))),
        ] {
            assert_eq!(text.parse::<Slo>(), slo, "{text}");
        }
        for bad in ["", "p99", "p99=50", "p99=0s", "p101=1s", "buy:p99=1s", "errors=1", "99=1s"] {
            assert!(bad.parse::<Slo>().is_err(), "{bad}");
        }
    }

    #[test]
    fn steps_and_targets_are_read() {
        assert_eq!("500..4000".parse(), Ok(Steps { from: 500, to: 4000 }));
        for bad in ["500", "4000..500", "0..10", "5..5", "a..b", "1..1000000"] {
            assert!(bad.parse::<Steps>().is_err(), "{bad}");
        }
        assert_eq!(http_url("http://shop:8080/").as_deref(), Ok("http://shop:8080"));
        for bad in ["shop:8080", "https://shop", "http://", "http://a/b", "http://me:pw@shop"] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
    }
}
