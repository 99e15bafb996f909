//! What the process itself uses, read from `/proc/self` when somebody asks. Elsewhere than on Linux it is absent.
//!
//! By hand, because prometheus's `ProcessCollector` (feature `process`, two more crates) counts CPU in whole seconds: a
//! service that is asked for two thousand requests uses less than that.

use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::catalogue::{PROCESS_CPU, PROCESS_FILES, PROCESS_MEMORY};

/// `/proc` counts CPU time in hundredths of a second on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads resident memory, CPU time and open file descriptors.
pub(crate) fn measure() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = resident_bytes() {
        PROCESS_MEMORY.set(bytes);
    }
    if let Some(open) = open_fds() {
        PROCESS_FILES.set(open);
    }
    if let Some(seconds) = cpu_seconds() {
        PROCESS_CPU.inc_by((seconds - PROCESS_CPU.get()).max(0.0)); // a counter cannot be set
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn open_fds() -> Option<f64> {
    let reading = 1; // the directory itself
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(reading) as f64)
}

/// Fields 14 and 15 of `/proc/self/stat`; the second field is in brackets and may contain anything.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
