//! The shop as its users meet it: see `tests/it`.
