//! What gives memory to every process of the shop.

use tikv_jemallocator::Jemalloc;

/// Less processor time than glibc's allocator: docs/performance.md, "Settled orders".
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
