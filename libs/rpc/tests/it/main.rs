//! How processes speak to each other, over real sockets and real certificates.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

mod callee;
mod over_tonic;
mod raw;
mod world;

mod balancing;
mod callers;
mod canvases;
mod certificates;
mod deadlines;
mod in_process;
mod limits;
mod retries;
mod stopping;
mod traces;
mod transports;
