//! What cargo souk does once it is built.
