//! Model checking: the checkout, in every order in which its steps can happen.
//!
//! The model is made of the functions that production calls: order's [`checkout::decide`],
//! product's [`stock::fold`] and payment's [`Payment::hear`]. What is modelled around them is what
//! they stand on: one action is one transaction; whatever was published is delivered, in any
//! order, and again at any time; a crash is a delivery that comes again. The provider decides
//! once per key, at any moment after it was asked, and its answer may come late, twice or never
//! before it is asked for again.
//!
//! [`checkout::decide`]: order::domain::checkout::decide
//! [`stock::fold`]: product::domain::stock::fold
//! [`Payment::hear`]: payment::domain::Payment::hear

mod sale;
mod world;
mod checkout;
mod claims;
mod carts;

pub use carts::{Carts, Mistake, Step};
pub use checkout::{Action, Bug, Checkout};
pub use sale::{News, Provider, Sale};
pub use world::World;
