//! `cargo souk bench orders`: how many orders a second the shop settles, in units of what its machine
//! can do: the single rows that the same PostgreSQL commits in a second, in the same run.
//!
//! An order is settled when it was placed, its stock held, it was paid and confirmed: seven durable
//! changes in four databases and one at the payment provider. First as many orders are sent as the
//! shop settles ([`rush`]); then half as many, at times that were fixed before ([`steady`]), because a
//! latency at full load says nothing but how long the queue was made. Accounts, cards, carts and
//! tokens are there before ([`customers`]). What was settled when is read from the records ([`books`]).

mod customers;
mod sender;
mod rush;
mod steady;
mod slow;
mod books;
mod writes;
mod batches;
mod yardstick;
mod bench;
mod compare;
mod exchanges;
mod report;

pub use bench::measure;
pub(crate) use compare::compare;
pub use exchanges::{Counts, Exchanges, GROUP, count};
pub use report::Report;
pub(crate) use slow::slow_provider;
pub use slow::{Slow, measure as measure_slow};
