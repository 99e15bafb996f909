//! What `cargo souk` does once it is built: starts the shop and keeps it running, and speaks to it
//! like a customer and like staff. As a library it is how tests run a shop of their own: [`Shop`].

pub mod layout;
pub mod secrets;
pub mod process;
pub mod ports;
pub mod plan;
pub mod journal;
pub mod board;
pub mod keeper;
pub mod ready;
pub mod state;
pub mod orphans;
pub mod databases;
pub mod certificates;
pub mod watch;
pub mod http;
pub mod traces;
pub mod shop;

pub use process::{Process, Signal};
pub use shop::{Options, Shop};
