//! What the kernel tells of a process: whether it stands still, and how much it computes.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use operator::Process;

/// Linux tells times in hundredths of a second on every architecture that it runs on here (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// One look at `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Whether it was stopped by a signal (state T).
    pub paused: bool,
    /// User and system time since its start.
    pub cpu: Duration,
}

impl Stat {
    /// Reads it; none where there is no such file.
    pub fn of(pid: u32) -> Option<Self> {
        parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }
}

/// The name of the program is in parentheses, and may hold some itself.
fn parse(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    // proc_pid_stat(5): the state is field 3, utime 14, stime 15.
    let cpu = TICK * ticks(11)?.checked_add(ticks(12)?)?;
    Some(Stat { paused: *fields.first()? == "T", cpu })
}

/// How much each process computed between two looks.
#[derive(Debug, Default)]
pub struct Cpu {
    looks: HashMap<(u32, String), (Instant, Duration)>,
}

impl Cpu {
    /// The share of one core since the look before, in percent; none at the first.
    pub fn percent(&mut self, process: &Process, stat: &Stat, now: Instant) -> Option<f64> {
        let key = (process.pid, process.born.clone());
        let (then, before) = self.looks.insert(key, (now, stat.cpu))?;
        let passed = now.duration_since(then).as_secs_f64();
        let used = stat.cpu.saturating_sub(before).as_secs_f64();
        (passed > 0.0).then(|| (used / passed * 1_000.0).round() / 10.0)
    }

    /// Forgets those that were not looked at for a minute.
    pub fn forget_old(&mut self, now: Instant) {
        self.looks.retain(|_, (then, _)| now.duration_since(*then) < Duration::from_secs(60));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "71 (a b) c) T 1 71 71 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 1 0 100 0 0";

    #[test]
    fn a_program_may_have_parentheses_in_its_name() {
        let stat = Stat { paused: true, cpu: Duration::from_secs(3) };
        assert_eq!(parse(LINE), Some(stat));
        assert_eq!(parse(&LINE.replace(" T ", " S ")).map(|stat| stat.paused), Some(false));
        assert_eq!(parse("71 (a) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn cpu_is_the_share_between_two_looks_of_the_same_process() {
        let mut cpu = Cpu::default();
        let (process, start) = (Process { pid: 7, born: "1".into() }, Instant::now());
        let stat = |ms| Stat { paused: false, cpu: Duration::from_millis(ms) };
        assert_eq!(cpu.percent(&process, &stat(1_000), start), None);
        let later = start + Duration::from_secs(2);
        assert_eq!(cpu.percent(&process, &stat(1_500), later), Some(25.0));
        let reused = Process { born: "2".into(), ..process };
        assert_eq!(cpu.percent(&reused, &stat(10), later), None, "another process");
        cpu.forget_old(later + Duration::from_secs(61));
        assert!(cpu.looks.is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_looked_at() {
        assert!(Stat::of(std::process::id()).is_some_and(|stat| !stat.paused));
        assert_eq!(Stat::of(u32::MAX), None);
    }
}
