//! The edge's configuration in a real nginx, in front of real gateways. See `tests/it`.
