//! The shop as its users meet it: see `tests/it`. Here is what other tests of the whole shop need, too.

pub mod shopper;
pub mod shops;
