//! A small load on a real shop and what is told of it; targets that are none; the script for k6; and a
//! small measurement of settled orders.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod small;
mod wrong;
mod k6;
mod bench;
mod lab;
