//! The gateway, run whole and spoken to over sockets. Behind it stand servers of the generated
//! traits that say what a test wants to hear: here the edges are tested, that the shop works as a
//! whole is for tests/e2e.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod shop;
mod spy;
mod world;
mod client;

mod problems;
mod bodies;
mod callers;
mod products;
mod browser;

mod sessions;
mod storefront;
mod staff;
mod staff_imports;
mod staff_returns;
mod carts;
mod orders;
mod returns;
mod events;
mod imports;
mod connections;
mod encrypted;
mod traces;
