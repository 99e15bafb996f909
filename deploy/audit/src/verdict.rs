//! What an audit comes to, for people and for programs.

use std::fmt;

use serde::Serialize;

/// So many defects are told in words; all are counted.
const EXAMPLES_MAX: usize = 5;

/// One promise, looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// The promise that it shows kept or broken.
    pub promise: &'static str,
    /// How many things were looked at.
    pub looked_at: u64,
    /// How many of them are wrong.
    pub defects: u64,
    /// Some of these, in words.
    pub examples: Vec<String>,
}

impl Check {
    /// Counts: one item for each thing that is looked at, with what is wrong with it.
    pub fn of(
        name: &'static str,
        promise: &'static str,
        things: impl IntoIterator<Item = Option<String>>,
    ) -> Self {
        let mut check = Self { name, promise, looked_at: 0, defects: 0, examples: Vec::new() };
        for defect in things {
            check.looked_at += 1;
            let Some(defect) = defect else { continue };
            check.defects += 1;
            if check.examples.len() < EXAMPLES_MAX {
                check.examples.push(defect);
            }
        }
        check
    }
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// In the order of the promises.
    pub checks: Vec<Check>,
}

impl Verdict {
    /// Whether no defect was found.
    pub fn is_clean(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The checks that found something.
    pub fn broken(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.defects > 0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, promise, looked_at, defects, examples } in &self.checks {
            let word = match (looked_at, defects) {
                (0, 0) => "unseen",
                (_, 0) => "kept  ",
                _ => "BROKEN",
            };
            writeln!(
                f,
                "  {promise:<3} {name:<34} {word} {looked_at:>9} looked at, {defects} wrong"
            )?;
            for example in examples {
                writeln!(f, "        {example}")?;
            }
        }
        Ok(())
    }
}
