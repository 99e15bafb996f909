//! The stores with the real programs: found on this machine, or fetched once into `.souk/tools`.

mod folder;
mod lifecycle;
mod redis_users;
mod shared;
mod tools;
