//! `cargo souk`, first step.
//!
//! This crate is small so that it is built in seconds: it reads the command line, checks the machine,
//! and fetches the stores' programs, all before the long build of the shop. The long work itself is
//! done by the `operator` crate, which is built then, gets the same arguments, and reads them with the
//! same [`cli`].

pub mod cli;
pub mod style;
pub mod port;
pub mod machine;
pub mod build;
pub mod doctor;
pub mod validators;
pub mod browser;
pub mod suites;
pub mod images;
pub mod launch;

/// What a step comes to; the error is one message for a person.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
