//! Manifests are checked without a cluster. Schemas say what an API server takes; these rules say
//! what it would take and what then would not run: a selector that selects nothing, a probe of a
//! port that nobody opens, a variable that no process knows, an edge of the map without a policy.
//!
//! Each rule is a function from everything that is to be applied ([`Shop`]) to complaints, and for
//! each there is a fixture that breaks it and nothing else (`fixtures/rules`).

mod objects;
mod map;
mod shop;
mod compose;
mod composing;
mod rules;
mod selectors;
mod ports;
mod references;
mod replicas;
mod images;
mod rollout;
mod capacity;
mod variables;
mod edges;
mod pods;
mod resources;
mod rendering;
mod help;
mod fixtures;
mod schemas;
mod checkov;
pub mod checks;
pub mod cli;

pub use compose::Compose;
pub use fixtures::{Fixture, folder as fixtures_folder, read as read_fixtures};
pub use map::{Edge, map};
pub use objects::{Object, parse};
pub use resources::{Figures, figures};
pub use rollout::refused;
pub use rules::{RULES, Rule};
pub use shop::Shop;

/// What is wrong, each with its place. Empty is good.
pub type Complaints = Vec<String>;
