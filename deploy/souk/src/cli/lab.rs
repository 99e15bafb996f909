//! Options of `lab`: which experiment of the lab book is run.

use clap::Args;

/// What the experiments of docs/scaling.md are about, in their order: the first is number 1.
pub const EXPERIMENTS: [&str; 7] = [
    "One server is too slow: a larger one",
    "A process dies: several of them",
    "Sessions outside of the processes",
    "The same is asked for again and again: caches",
    "An answer takes long to compute: precomputed",
    "Somebody else is slow: asynchronous work",
    "One database is not enough: shards",
];

/// Options of `lab`.
#[derive(Debug, Clone, Args)]
pub struct Lab {
    /// Which experiment; without it they are listed
    #[arg(value_name = "N", value_parser = clap::value_parser!(u8).range(1..=EXPERIMENTS.len() as i64))]
    pub number: Option<u8>,
}

impl Lab {
    /// The list of experiments.
    pub fn list() -> String {
        let numbered =
            EXPERIMENTS.iter().zip(1..).map(|(title, number)| format!("{number}  {title}"));
        let lines: Vec<String> = numbered.collect();
        format!(
            "{}\n\nTo run one: cargo souk lab N. The lab book: docs/scaling.md",
            lines.join("\n")
        )
    }
}
