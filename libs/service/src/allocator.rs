//! What gives memory to every process of the shop.

use tikv_jemallocator::Jemalloc;

/// A tenth less processor time for an order than with glibc's allocator (docs/performance.md, "Settled orders").
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
