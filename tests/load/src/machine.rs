//! What the run costs the machine, as the kernel counts it: processor time of every process of the
//! shop, its stores included, and memory. Linux only; elsewhere the report says that it was not measured.

use std::collections::BTreeMap;
use std::fs;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use operator::state::State;
use serde::Serialize;

/// The kernel counts in hundredths of a second, whatever its own clock does.
const TICK_MS: u64 = 10;

/// A process, or a server with all its children.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) part: Part,
    pid: u32,
}

/// Which part of the whole a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The gateway and the services.
    Shop,
    /// PostgreSQL, Redis, NATS.
    Store,
    /// The payment provider, the supervisor, this generator.
    Around,
}

impl Group {
    /// A process beside the shop.
    pub(crate) fn process(name: &str, pid: u32) -> Self {
        Self { name: name.to_owned(), part: Part::Around, pid }
    }
}

/// Everything that runs for the shop, and this process under the name of what it does.
pub(crate) fn groups(state: &State, own_name: &str) -> Vec<Group> {
    let processes = state.processes.iter().filter_map(|entry| {
        let part = if entry.task.service == "psp" { Part::Around } else { Part::Shop };
        Some(Group { name: entry.task.name.clone(), part, pid: entry.process.as_ref()?.pid })
    });
    let stores = state.stores.iter().filter_map(|store| {
        Some(Group {
            name: store.name.clone(),
            part: Part::Store,
            pid: store.process.as_ref()?.pid,
        })
    });
    let myself = std::process::id();
    let supervisor = state.supervisor.pid;
    // A test is both.
    let supervisor = (supervisor != myself).then(|| Group::process("supervisor", supervisor));
    processes.chain(stores).chain(supervisor).chain([Group::process(own_name, myself)]).collect()
}

/// Processor time so far.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Instant,
    /// Of each group, in milliseconds.
    pub(crate) cpu_ms: Vec<u64>,
    /// Of everything on the machine.
    pub(crate) machine_ms: u64,
}

/// Processor time of each group between two looks.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    /// Milliseconds.
    pub(crate) groups: Vec<(Part, u64)>,
    /// Of everything on the machine, in milliseconds.
    pub(crate) machine: u64,
    /// Between the looks.
    pub(crate) seconds: f64,
}

impl Snapshot {
    /// What was spent since an earlier look at the same groups.
    pub(crate) fn since(&self, from: &Self, groups: &[Group]) -> Spent {
        let between = from.cpu_ms.iter().zip(&self.cpu_ms);
        let between = between.map(|(from, to)| to.saturating_sub(*from));
        Spent {
            groups: groups.iter().map(|group| group.part).zip(between).collect(),
            machine: self.machine_ms.saturating_sub(from.machine_ms),
            seconds: self.at.saturating_duration_since(from.at).as_secs_f64(),
        }
    }
}

impl Spent {
    /// Gateway, services and stores.
    pub(crate) fn shop(&self) -> u64 {
        self.of(|part| part != Part::Around)
    }

    /// The provider, the supervisor and this generator too.
    pub(crate) fn all(&self) -> u64 {
        self.of(|_| true)
    }

    /// What others on the machine did, as a share of its work in per cent.
    pub(crate) fn others_percent(&self) -> f64 {
        let others = self.machine.saturating_sub(self.all());
        if self.machine == 0 { 0.0 } else { 100.0 * others as f64 / self.machine as f64 }
    }

    fn of(&self, wanted: impl Fn(Part) -> bool) -> u64 {
        self.groups.iter().filter(|(part, _)| wanted(*part)).map(|(_, ms)| ms).sum()
    }
}

/// Looks at all groups now. None where the kernel does not tell.
pub(crate) fn snapshot(groups: &[Group]) -> Option<Snapshot> {
    let stats = stats()?;
    let of = |group: &Group| {
        let Some(own) = stats.get(&group.pid) else { return 0 };
        let mut ticks = own.own;
        if group.part == Part::Store {
            // A server works in children, and inherits the time of those that end.
            let children = stats.values().filter(|stat| stat.parent == group.pid);
            ticks += own.reaped + children.map(|stat| stat.own).sum::<u64>();
        }
        ticks * TICK_MS
    };
    let cpu_ms = groups.iter().map(of).collect();
    Some(Snapshot { at: Instant::now(), cpu_ms, machine_ms: machine_ms()? })
}

struct Stat {
    parent: u32,
    own: u64,
    /// Of its children that have ended.
    reaped: u64,
}

fn stats() -> Option<BTreeMap<u32, Stat>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Some(pids.filter_map(|pid| Some((pid, stat(pid)?))).collect())
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may contain anything, even spaces and parentheses.
fn parse(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    Some(Stat { parent, own: number(11)? + number(12)?, reaped: number(13)? + number(14)? })
}

fn machine_ms() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let all: u64 = ticks.iter().take(8).sum(); // guests are in user time already
    Some((all - idle) * TICK_MS)
}

/// Looks again and again at given times, on a thread of its own.
pub(crate) fn look_at(
    groups: Vec<Group>,
    times: Vec<Instant>,
) -> JoinHandle<Vec<Option<Snapshot>>> {
    thread::spawn(move || {
        let look = |time: Instant| {
            thread::sleep(time.saturating_duration_since(Instant::now()));
            snapshot(&groups)
        };
        times.into_iter().map(look).collect()
    })
}

/// Memory of a group now, and the most it ever had, in bytes. Of a server with children, memory that
/// they share counts once, and the most is not known.
pub(crate) fn memory(group: &Group) -> (Option<u64>, Option<u64>) {
    if group.part != Part::Store {
        let status = fs::read_to_string(format!("/proc/{}/status", group.pid)).unwrap_or_default();
        return (field(&status, "VmRSS:"), field(&status, "VmHWM:"));
    }
    let children = stats().unwrap_or_default().into_iter();
    let children = children.filter(|(_, stat)| stat.parent == group.pid).map(|(pid, _)| pid);
    let all = children.chain([group.pid]).map(pss);
    (all.flatten().reduce(|sum, bytes| sum + bytes), None)
}

/// Proportional set size: of what a process shares with others, its part. In bytes.
fn pss(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    field(&rollup, "Pss:")
}

/// The proportional set size of the gateway and the services, in bytes.
pub(crate) fn shop_pss(groups: &[Group]) -> u64 {
    groups.iter().filter(|group| group.part == Part::Shop).filter_map(|group| pss(group.pid)).sum()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The machine, for whoever compares figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Environment {
    /// The processor's own name.
    pub processor: String,
    /// Cores that may be used.
    pub cores: usize,
    /// In bytes.
    pub memory: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How busy the machine was before: processes that wanted to run, on average over a minute.
    pub load_before: f64,
}

impl Environment {
    /// Of this machine.
    pub(crate) fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let model = read("/proc/cpuinfo");
        let model =
            model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        Self {
            processor: model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory: field(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_process_is_called() {
        let line = "42 (a) b (c) S 7 1 1 0 -1 4194560 1 2 3 4 100 20 30 4 20 0 1 0 5 6 7";
        let stat = parse(line).expect("legible");
        assert_eq!((stat.parent, stat.own, stat.reaped), (7, 120, 34));
        assert!(parse("42 (half").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_shows_in_the_next_look() {
        let own = Group { name: "load".into(), part: Part::Around, pid: std::process::id() };
        let groups = [own];
        let before = snapshot(&groups).expect("Linux tells");
        let limit = Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let after = snapshot(&groups).expect("Linux tells");
            if after.cpu_ms[0] >= before.cpu_ms[0] + 3 * TICK_MS {
                assert!(after.machine_ms > before.machine_ms && after.at > before.at);
                break;
            }
            assert!(Instant::now() < limit, "this loop is work");
        }
        let (now, most) = memory(&groups[0]);
        assert!(now > Some(100_000) && most >= now);
    }
}
