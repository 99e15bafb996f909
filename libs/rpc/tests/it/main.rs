//! How processes speak to each other, over real sockets and real certificates.

mod callee;
mod raw;
mod world;

mod balancing;
mod callers;
mod certificates;
mod deadlines;
mod limits;
mod retries;
mod stopping;
mod traces;
