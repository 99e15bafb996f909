//! How many looks a memory of some size answers: the cache alone, without a shop, and nothing changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use cache::{Cache, Level, Limits, Loaded, Value};
use futures_util::FutureExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::say;
use crate::table::Table;
use crate::zipf::Zipf;

/// Products that are looked at.
const PRODUCTS: usize = 50_000;
const LOOKS: u32 = 500_000;
/// Of a product as it is answered.
const PAGE_BYTES: usize = 600;
const DAY: Duration = Duration::from_secs(86_400);
const SIZES: [(&str, u64); 5] = [
    ("512 KiB", 1 << 19),
    ("2 MiB", 1 << 21),
    ("8 MiB", 1 << 23),
    ("16 MiB", 1 << 24),
    ("64 MiB", 1 << 26),
];
/// The row of the chart.
const ZIPF: &str = "hits by Zipf's law, %";

#[derive(Clone)]
struct Page;

impl Value for Page {
    fn bytes(&self) -> usize {
        PAGE_BYTES
    }
}

/// Prints a column for each size, and draws a chart.
///
/// # Errors
/// When the chart cannot be written.
pub(crate) async fn show(reports_in: &Path) -> Result<()> {
    let mut table = Table::new("50,000 products of 600 bytes", SIZES.map(|(name, _)| name));
    let (mut looks, mut among_scans) = (Vec::new(), Vec::new());
    for (_, bytes) in SIZES {
        looks.push(Some(hits(bytes, false).await));
        among_scans.push(Some(hits(bytes, true).await));
    }
    table.add(ZIPF, 1, looks);
    table.add("the same, while somebody reads all in turn, %", 1, among_scans);
    table.chart(ZIPF, "Looks that a memory answers", &reports_in.join("hits.svg"))?;
    say(&format!("\n{table}"));
    Ok(())
}

/// In per cent of the looks of the second half, when the memory is as full as it gets. A scan asks for one more product for each look.
async fn hits(bytes: u64, scan: bool) -> f64 {
    let loads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&loads);
    let limits = Limits { bytes, life: DAY, confirmed_life: DAY };
    let cache: Cache<usize, Page, ()> = Cache::new("bench", limits, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(Loaded { value: Page, level: Level::NEWEST }) }.boxed()
    });
    let (zipf, mut random) = (Zipf::new(PRODUCTS, 1.0), StdRng::seed_from_u64(1));
    let mut missed = 0;
    for look in 0..LOOKS {
        let before = loads.load(Ordering::Relaxed);
        let _ = cache.get(zipf.draw(&mut random)).await;
        if look >= LOOKS / 2 {
            missed += loads.load(Ordering::Relaxed) - before;
        }
        if scan {
            let _ = cache.get(look as usize % PRODUCTS).await;
        }
    }
    100.0 - 100.0 * missed as f64 / f64::from(LOOKS / 2)
}
