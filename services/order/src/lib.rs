//! The order context.
