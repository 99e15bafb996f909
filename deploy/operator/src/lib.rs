//! What `cargo souk` does once it is built: starts the shop and keeps it running, and speaks to it
//! like a customer and like staff. As a library it is how tests run a shop of their own: [`Shop`].

pub mod speak;
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
pub mod external;
pub mod http;
pub mod traces;
pub mod shop;
pub mod api;
pub mod events;
pub mod customer;
pub mod catalogue;
pub mod timeline;
pub mod tree;
pub mod running;
pub mod detached;
pub mod signals;
pub mod welcome;
pub mod control;
pub mod faults;
pub mod up;
pub mod down;
pub mod status;
pub mod logs;
pub mod order;
pub mod trace_of;
pub mod import;
pub mod events_of;
pub mod sqlx;
pub mod verbs;
#[cfg(test)]
mod plain;

pub use process::{Process, Signal};
pub use shop::{Detour, Options, Shop};
