//! `cargo souk down`: drains and stops everything, and tells what that was.

use std::time::Duration;

use anyhow::{Result, bail};
use souk::cli::Down;
use stores::{Home, Stores, Tools};

use crate::layout::Layout;
use crate::process::{Signal, wait_until};
use crate::speak::say;
use crate::state::State;
use crate::{external, orphans};

/// Timeout of all: three drains of at most 22 s, and the stores.
const STOP_MAX: Duration = Duration::from_secs(120);

/// The whole verb.
///
/// # Errors
/// When something does not end, or cannot be removed.
pub fn run(home: &Home, options: &Down) -> Result<()> {
    let layout = Layout::at(&home.run());
    match State::read(&layout) {
        Ok(Some(state)) if state.is_up() => stop(&state)?,
        Ok(None) => say!("the shop is not up"),
        // Killed, or damaged: what is left is found by other means.
        Ok(Some(_)) | Err(_) => say!("the shop's supervisor was killed"),
    }
    clean(home, &layout)?;
    if options.wipe { wipe(home, &layout) } else { Ok(()) }
}

fn stop(state: &State) -> Result<()> {
    let names: Vec<&str> = state.processes.iter().map(|entry| entry.task.name.as_str()).collect();
    let stores = state.stores.iter().filter(|store| store.process.is_some());
    let stores: Vec<&str> = stores.map(|store| store.name.as_str()).collect();
    say!("stopping {}, then {}", names.join(", "), stores.join(", "));
    state.supervisor.signal(Signal::TERM)?;
    if !wait_until(STOP_MAX, || !state.supervisor.alive()) {
        bail!("the supervisor (pid {}) does not end", state.supervisor.pid);
    }
    say!("stopped {} processes and {} stores", names.len(), stores.len());
    Ok(())
}

/// What a killed supervisor left behind.
fn clean(home: &Home, layout: &Layout) -> Result<()> {
    let left = orphans::end(layout)?;
    let stores = Stores::stop_at(&home.stores())?;
    if left > 0 || !stores.is_empty() {
        say!("stopped {left} processes and {} stores that were left behind", stores.len());
    }
    Ok(())
}

fn wipe(home: &Home, layout: &Layout) -> Result<()> {
    external::wipe(layout, &Tools::find(home))?;
    Stores::wipe(&home.stores())?;
    Stores::wipe(&home.test_stores())?;
    match std::fs::remove_dir_all(layout.run()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    say!("removed all data");
    Ok(())
}
