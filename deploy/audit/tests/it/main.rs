//! Every check is shown a defect, in real databases and a real provider's ledger.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod books;
mod planted;
