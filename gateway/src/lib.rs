//! The HTTP face of the shop.
