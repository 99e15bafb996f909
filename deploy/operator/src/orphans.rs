//! Orphaned processes: what a supervisor that was killed left running.

use std::time::Duration;

use anyhow::Result;

use crate::keeper::MARK;
use crate::layout::Layout;
use crate::process::{Process, end_all, with_variable};
use crate::state::State;

const PATIENCE: Duration = Duration::from_secs(5);

/// Ends the processes that an earlier supervisor of this folder started, and removes its state
/// file; tells how many there were. To be called by who owns the folder.
///
/// # Errors
/// When one does not end.
pub fn end(layout: &Layout) -> Result<usize> {
    let mut left = find(layout);
    left.retain(Process::alive);
    let ended = end_all(&left, PATIENCE)?;
    State::remove(layout)?;
    Ok(ended)
}

/// By what was written down, and by the mark in their environment: a supervisor may have been
/// killed before it could write down what it had just started.
fn find(layout: &Layout) -> Vec<Process> {
    let mark = layout.run().display().to_string();
    let mut found = with_variable(MARK, &mark);
    // A damaged file must not keep the shop from coming up.
    let noted = State::read(layout).ok().flatten().map(|state| state.running());
    for process in noted.unwrap_or_default() {
        if !found.contains(&process) {
            found.push(process);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[cfg(target_os = "linux")]
    #[test]
    fn what_carries_the_mark_of_this_folder_is_ended_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(folder.path()).expect("folders");
        let start = |mark: String| {
            let mut command = Command::new("sh");
            command.args(["-c", "read x"]).env(MARK, mark).stdin(Stdio::piped());
            command.spawn().expect("sh runs")
        };
        let mut ours = start(layout.run().display().to_string());
        let mut other = start(format!("{}/other", layout.run().display()));
        let known = || !with_variable(MARK, &layout.run().display().to_string()).is_empty();
        assert!(crate::process::wait_until(Duration::from_secs(5), known));
        assert_eq!(end(&layout).expect("ended"), 1);
        assert!(!ours.wait().expect("reaped").success());
        assert!(Process::of(other.id()).is_some());
        other.kill().expect("ours");
        other.wait().expect("reaped");
    }
}
