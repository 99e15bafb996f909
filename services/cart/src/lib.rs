//! The cart context.
