//! From looks of the auditor to the verdict that is shown: a pure state machine.
//!
//! The auditor was made for a shop at rest. Here it looks at a shop at work, reads one database after another, and so sees
//! most things by halves: money that is captured and not yet booked, stock that is held for an order that has just ended.
//! What it finds is called broken only where waiting cannot make it right:
//!
//! | a check | is broken when |
//! |---|---|
//! | of [`DEFINITE`] | two looks in a row find the same |
//! | any other | two looks in a row find the same, 2 s apart or more, and the shop was quiet from the beginning of the first to the end of the second |
//! | | otherwise the shop is at work |

use std::time::Duration;

use audit::{Check, Verdict};
use serde::Serialize;

/// Between two looks that are to say the same of a quiet shop.
const APART_MIN: Duration = Duration::from_secs(2);

/// Checks whose defects do not pass by themselves, even of a shop at work; each with its reason. Not among them is
/// `nothing_is_oversold`: it adds what is held (product) to what is sold (order), and an order is both from its confirmation
/// until product hears of it, which takes as long as the bus is away.
const DEFINITE: [(&str, &str); 7] = [
    ("nobody_is_charged_twice", "the provider's ledger only grows: a second capture stays one"),
    ("ledger_sums_to_zero", "both sides of an entry are one row, and one statement reads all"),
    (
        "stock_is_conserved",
        "a delivery note and its stock are one transaction, one statement reads both",
    ),
    ("nothing_is_captured_after_its_pay_by", "both times are of one row, and the first has passed"),
    (
        "events_happened_once",
        "an event that is there twice stays so, until its day of the outbox is over",
    ),
    ("no_event_is_dead_lettered", "a dead letter stays until somebody redrives it"),
    // The receipt is read first, so one look may miss it. It was committed before its effect, so the next look, which
    // begins after the effect was seen, cannot.
    ("returns_follow_receipt", "a cause that is still missing in the next look is missing"),
];

/// How the promises stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No defect was found.
    Kept,
    /// What was found may be what is under way.
    AtWork,
    /// A promise is broken.
    Broken,
    /// The records cannot be read, or have not been yet.
    #[default]
    Unknown,
}

/// One look. Times are since any moment, the same for all looks.
#[derive(Clone, Debug)]
pub struct Look {
    /// What the auditor says.
    pub verdict: Verdict,
    /// Whether nothing was under way before and after it.
    pub quiet: bool,
    /// When it began.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
}

/// A check that is not clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// As the auditor says it; of a broken one, only the examples that were found twice.
    #[serde(flatten)]
    pub check: Check,
    /// Whether its promise is broken, or may be.
    pub broken: bool,
}

/// What is concluded from two looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The worst of all checks.
    pub standing: Standing,
    /// Those that are not clean, the broken ones first.
    pub findings: Vec<Finding>,
    /// How many checks there are.
    pub checks: usize,
    /// How many of them had nothing to look at.
    pub unseen: usize,
}

/// Remembers the look before.
#[derive(Debug, Default)]
pub struct Judge {
    previous: Option<Look>,
}

impl Judge {
    /// Takes a look in.
    pub fn look(&mut self, look: Look) -> Judgement {
        let found = look.verdict.broken();
        let mut findings: Vec<Finding> = found.map(|check| self.finding(check, &look)).collect();
        findings.sort_by_key(|finding| !finding.broken);
        let standing = match findings.first() {
            None => Standing::Kept,
            Some(worst) if worst.broken => Standing::Broken,
            Some(_) => Standing::AtWork,
        };
        let checks = look.verdict.checks.len();
        let unseen = look.verdict.checks.iter().filter(|check| check.looked_at == 0).count();
        self.previous = Some(look);
        Judgement { standing, findings, checks, unseen }
    }

    /// A look has failed: the next one is the first again.
    pub fn failed(&mut self) {
        self.previous = None;
    }

    fn finding(&self, check: &Check, look: &Look) -> Finding {
        let again = self.again(check);
        let broken = !again.is_empty() && (is_definite(check.name) || self.stands_still(look));
        let mut check = check.clone();
        if broken {
            check.examples = again;
        }
        Finding { check, broken }
    }

    /// The examples that the look before has, too. With more defects than examples in both, another may be among them.
    fn again(&self, check: &Check) -> Vec<String> {
        let before = self.previous.iter().flat_map(|look| &look.verdict.checks);
        let Some(before) = before.into_iter().find(|it| it.name == check.name) else {
            return Vec::new();
        };
        let more = |check: &Check| check.defects > check.examples.len() as u64;
        if more(before) && more(check) {
            return check.examples.clone();
        }
        let subjects: Vec<String> = before.examples.iter().map(|it| subject(it)).collect();
        let again = check.examples.iter().filter(|it| subjects.contains(&subject(it)));
        again.cloned().collect()
    }

    fn stands_still(&self, look: &Look) -> bool {
        self.previous.as_ref().is_some_and(|before| {
            before.quiet && look.quiet && look.began.saturating_sub(before.ended) >= APART_MIN
        })
    }
}

/// What an example is about: its words without figures, which change while the shop is at work.
fn subject(example: &str) -> String {
    let words = example.split_whitespace().filter(|word| word.contains(char::is_alphabetic));
    words.collect::<Vec<_>>().join(" ")
}

fn is_definite(check: &str) -> bool {
    DEFINITE.iter().any(|(name, _)| *name == check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use audit::{Facts, judge};

    #[test]
    fn figures_that_change_while_the_shop_works_make_no_other_defect() {
        let [first, second] = [
            "product a1b: received 10, on hand 3, shipped 6",
            "product a1b: received 10, on hand 2, shipped 7",
        ];
        assert_eq!(subject(first), subject(second));
        assert_ne!(subject(first), subject("product a1c: received 10, on hand 3, shipped 6"));
    }

    const DEFINITE_ONE: &str = "nobody_is_charged_twice";
    const OTHER: &str = "what_was_sold_was_shipped";

    fn check(name: &'static str, examples: &[&str]) -> Check {
        Check::of(name, "P0", examples.iter().map(|example| Some((*example).to_owned())))
    }

    /// A look of a second's length that begins at `at` seconds.
    fn look(at: u64, quiet: bool, checks: Vec<Check>) -> Look {
        let began = Duration::from_secs(at);
        Look { verdict: Verdict { checks }, quiet, began, ended: began + Duration::from_secs(1) }
    }

    /// What is concluded from looks at one check, the last of them.
    fn concluded(name: &'static str, looks: &[(u64, bool, &[&str])]) -> Standing {
        let mut judge = Judge::default();
        let all = looks.iter().map(|(at, quiet, examples)| {
            judge.look(look(*at, *quiet, vec![check(name, examples)])).standing
        });
        all.last().expect("a look")
    }

    #[test]
    fn no_defect_is_kept_at_once_and_always() {
        assert_eq!(concluded(OTHER, &[(0, false, &[])]), Standing::Kept);
        assert_eq!(concluded(OTHER, &[(0, true, &["a"]), (9, true, &[])]), Standing::Kept);
        assert_eq!(
            concluded(DEFINITE_ONE, &[(0, true, &["a"]), (9, true, &["a"]), (18, true, &[])]),
            Standing::Kept,
            "whatever was broken before"
        );
    }

    #[test]
    fn one_look_proves_nothing() {
        for name in [OTHER, DEFINITE_ONE] {
            assert_eq!(concluded(name, &[(0, true, &["a"])]), Standing::AtWork, "{name}");
        }
    }

    #[test]
    fn a_definite_check_needs_the_same_example_twice_and_no_quiet() {
        for (second, expected) in [
            (&["a"][..], Standing::Broken),
            (&["b", "a"], Standing::Broken),
            (&["b"], Standing::AtWork),
        ] {
            let looks: [(u64, bool, &[&str]); 2] = [(0, false, &["a"]), (1, false, second)];
            assert_eq!(concluded(DEFINITE_ONE, &looks), expected, "{second:?}");
        }
    }

    #[test]
    fn any_other_check_needs_a_quiet_shop_around_both_looks_and_time_between_them() {
        for (at, first, second, expected) in [
            (3, true, true, Standing::Broken),
            (3, false, true, Standing::AtWork),
            (3, true, false, Standing::AtWork),
            (2, true, true, Standing::AtWork), // a second after the first look's end
        ] {
            let looks: [(u64, bool, &[&str]); 2] = [(0, first, &["a"]), (at, second, &["a"])];
            assert_eq!(concluded(OTHER, &looks), expected, "{at} {first} {second}");
        }
        let other: [(u64, bool, &[&str]); 2] = [(0, true, &["a"]), (9, true, &["b"])];
        assert_eq!(concluded(OTHER, &other), Standing::AtWork, "another example");
    }

    #[test]
    fn the_two_looks_are_in_a_row() {
        let between: [(u64, bool, &[&str]); 3] =
            [(0, true, &["a"]), (9, true, &[]), (18, true, &["a"])];
        assert_eq!(concluded(DEFINITE_ONE, &between), Standing::AtWork);
        let mut judge = Judge::default();
        let at = |judge: &mut Judge, at| {
            judge.look(look(at, true, vec![check(DEFINITE_ONE, &["a"])])).standing
        };
        assert_eq!(at(&mut judge, 0), Standing::AtWork);
        judge.failed();
        assert_eq!(at(&mut judge, 9), Standing::AtWork, "a failed look lies between");
        assert_eq!(at(&mut judge, 18), Standing::Broken);
    }

    #[test]
    fn the_same_words_of_another_check_are_not_the_same() {
        let mut judge = Judge::default();
        judge.look(look(0, true, vec![check("orders_have_ended", &["a"])]));
        let judged = judge.look(look(9, true, vec![check(OTHER, &["a"])]));
        assert_eq!(judged.standing, Standing::AtWork);
    }

    #[test]
    fn the_broken_ones_come_first_with_what_was_found_twice() {
        let mut judge = Judge::default();
        judge.look(look(0, false, vec![check(OTHER, &["x"]), check(DEFINITE_ONE, &["a"])]));
        let second = vec![check(OTHER, &["x"]), check(DEFINITE_ONE, &["a", "b"])];
        let judged = judge.look(look(9, false, second));
        assert_eq!(judged.checks, 2);
        let told: Vec<(&str, bool)> =
            judged.findings.iter().map(|it| (it.check.name, it.broken)).collect();
        assert_eq!(told, [(DEFINITE_ONE, true), (OTHER, false)]);
        assert_eq!(judged.findings[0].check.examples, ["a"]);
        assert_eq!(judged.findings[0].check.defects, 2, "all are counted");
    }

    #[test]
    fn the_definite_checks_are_checks_of_the_auditor() {
        let verdict = judge(&Facts::default(), &[]);
        for (name, reason) in DEFINITE {
            assert!(verdict.checks.iter().any(|check| check.name == name), "{name}");
            assert!(!reason.is_empty());
        }
    }
}
