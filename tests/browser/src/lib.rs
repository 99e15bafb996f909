//! The storefront in a real browser. See the scripts in this crate's folder, and `tests/it`.
