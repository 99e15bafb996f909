//! The rules of the catalogue and of its stock: functions of values. No I/O, no clock, no
//! protocol.

pub mod basket;
pub mod job;
pub mod offer;
pub mod product;
pub mod shelf;
pub mod stock;

mod rejection;

pub use job::{Imported, Job, JobState};
pub use offer::Offer;
pub use product::{Listing, Product};
pub use rejection::{Fault, Rejection};
pub use shelf::{Shelves, Stock};
