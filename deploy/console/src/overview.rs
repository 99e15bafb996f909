//! `GET /api/overview`: what both background tasks saw last, as one document.

use std::time::{Duration, Instant};

use operator::board::now_unix_ms;
use operator::control::Injection;
use serde::Serialize;

use crate::auditor::Told;
use crate::faults::command;
use crate::scrape::{Cache, Events};
use crate::series::Point;
use crate::snapshot::{Row, Snapshot, Unknown};
use crate::traffic::Traffic;
use crate::verdict::{Finding, Standing};

/// The document.
#[derive(Debug, Serialize)]
pub struct Overview<'a> {
    now_unix_ms: i64,
    /// Why the shop is unknown.
    unknown: Option<&'a Unknown>,
    shop_url: Option<&'a str>,
    verdict: Verdict<'a>,
    processes: &'a [Row],
    stores: &'a [Row],
    faults: Vec<Fault<'a>>,
    faults_unknown: Option<&'a Unknown>,
    orders: Orders<'a>,
    events: &'a Events,
    caches: &'a [Cache],
    series: &'a [Point],
}

#[derive(Debug, Serialize)]
struct Verdict<'a> {
    state: Standing,
    unknown: Option<&'a Unknown>,
    /// Those that are not clean, the broken ones first.
    checks: &'a [Finding],
    checks_all: usize,
    checks_unseen: usize,
    /// Since the last look ended.
    age_ms: Option<u64>,
    /// An older one is to be shown as old.
    stale_after_ms: u64,
    /// How long the last look took.
    looked_ms: u64,
    /// Orders that it looked at.
    orders: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    #[serde(flatten)]
    injection: &'a Injection,
    command: String,
}

/// Open orders are of now, those that have ended of the last look of the auditor.
#[derive(Debug, Serialize)]
struct Orders<'a> {
    unknown: Option<&'a Unknown>,
    under_way: Option<i64>,
    #[serde(flatten)]
    traffic: Option<&'a Traffic>,
    confirmed: Option<usize>,
    cancelled: Option<usize>,
}

/// Puts it together.
pub fn overview<'a>(live: &'a Snapshot, told: &'a Told) -> Overview<'a> {
    let fault = |injection: &'a Injection| Fault { injection, command: command(injection) };
    Overview {
        now_unix_ms: now_unix_ms(),
        unknown: live.unknown.as_ref(),
        shop_url: live.shop_url.as_deref(),
        verdict: verdict(told, Instant::now()),
        processes: &live.processes,
        stores: &live.stores,
        faults: live.faults.iter().map(fault).collect(),
        faults_unknown: live.faults_unknown.as_ref(),
        orders: Orders {
            unknown: live.traffic_unknown.as_ref(),
            under_way: live.traffic.map(|traffic| traffic.under_way()),
            traffic: live.traffic.as_ref(),
            confirmed: told.orders.map(|orders| orders.confirmed),
            cancelled: told.orders.map(|orders| orders.cancelled),
        },
        events: &live.events,
        caches: &live.caches,
        series: &live.series,
    }
}

fn verdict(told: &Told, now: Instant) -> Verdict<'_> {
    Verdict {
        state: told.judgement.standing,
        unknown: told.unknown.as_ref(),
        checks: &told.judgement.findings,
        checks_all: told.judgement.checks,
        checks_unseen: told.judgement.unseen,
        age_ms: told.looked_at.map(|at| millis(now.saturating_duration_since(at))),
        stale_after_ms: millis(told.stale_after),
        looked_ms: millis(told.took),
        orders: told.orders.map(|orders| orders.all),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Judgement;
    use audit::Check;

    #[test]
    fn before_the_first_look_everything_is_unknown() {
        let (live, told) = (Snapshot::default(), Told::default());
        let json = serde_json::to_value(overview(&live, &told)).expect("JSON");
        assert_eq!(json["verdict"]["state"], "unknown");
        assert_eq!(json["verdict"]["age_ms"], serde_json::Value::Null);
        assert_eq!(json["verdict"]["stale_after_ms"], 10_000);
        assert_eq!(json["orders"]["under_way"], serde_json::Value::Null);
        assert_eq!(json["processes"], serde_json::json!([]));
    }

    #[test]
    fn a_broken_check_is_told_with_its_name_and_examples() {
        let check = Check::of("nobody_is_charged_twice", "P3", [Some("order 1".to_owned()), None]);
        let findings = vec![Finding { check, broken: true }];
        let judgement = Judgement { standing: Standing::Broken, findings, checks: 18, unseen: 4 };
        let told = Told { judgement, ..Told::default() };
        let live = Snapshot { traffic: Some(Traffic::default()), ..Snapshot::default() };
        let json = serde_json::to_value(overview(&live, &told)).expect("JSON");
        let expected = serde_json::json!([{
            "name": "nobody_is_charged_twice", "promise": "P3", "looked_at": 2, "defects": 1,
            "examples": ["order 1"], "broken": true,
        }]);
        assert_eq!(json["verdict"]["checks"], expected);
        assert_eq!(json["verdict"]["checks_all"], 18);
        assert_eq!(json["verdict"]["checks_unseen"], 4);
        assert_eq!(json["orders"]["placed_last_minute"], 0);
    }
}
