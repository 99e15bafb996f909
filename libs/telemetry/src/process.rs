//! What the process itself uses, read from `/proc/self` when somebody asks. Elsewhere than on Linux it is absent.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// `/proc` counts CPU time in hundredths of a second on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory, CPU time and open file descriptors, under Prometheus's conventional names.
pub(crate) struct Usage {
    resident: Gauge,
    fds: Gauge,
    descriptions: Vec<Desc>,
}

impl Usage {
    pub(crate) fn new() -> Self {
        let resident = gauge("process_resident_memory_bytes", "Resident memory in bytes.");
        let fds = gauge("process_open_fds", "Open file descriptors.");
        let descriptions =
            [resident.desc(), fds.desc(), cpu().desc()].concat().into_iter().cloned().collect();
        Self { resident, fds, descriptions }
    }
}

impl Collector for Usage {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(3);
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
            families.extend(self.resident.collect());
        }
        if let Some(open) = open_fds() {
            self.fds.set(open);
            families.extend(self.fds.collect());
        }
        if let Some(seconds) = cpu_seconds() {
            let cpu = cpu(); // a counter cannot be set, but a new one can be counted up
            cpu.inc_by(seconds);
            families.extend(cpu.collect());
        }
        families
    }
}

fn gauge(name: &str, help: &str) -> Gauge {
    Gauge::new(name, help).expect("the name is a literal that is valid")
}

fn cpu() -> Counter {
    let help = "User and system CPU time in seconds.";
    Counter::new("process_cpu_seconds_total", help).expect("the name is a literal that is valid")
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
