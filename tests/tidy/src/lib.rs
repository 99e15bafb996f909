//! The design's rules as tests.
