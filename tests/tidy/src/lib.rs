//! The design's rules as tests. Each rule is a function from the tree of files to complaints, and
//! each complaint says what to do; `tests/it/main.rs` applies all of them to this repository.
//! Beside each rule stands a test that breaks it, since a rule that cannot fail is none.

mod tree;
pub mod rust;
pub mod dependencies;
pub mod unused;
pub mod skeleton;
pub mod domain;
pub mod sql;
pub mod migrations;
pub mod errors;
pub mod containers;
pub mod circles;
pub mod bus;
pub mod redis;
pub mod failpoints;
pub mod contracts;
pub mod habits;
pub mod documents;
pub mod readme;

pub use tree::{File, Source, Tree};

/// What is wrong, each with its place and what to do about it. Empty is good.
pub type Complaints = Vec<String>;
