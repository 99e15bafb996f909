//! Whether the shop is up.

use anyhow::{Context as _, Result, ensure};
use operator::layout::Layout;
use operator::state::State;

/// The state of a shop that somebody runs.
///
/// # Errors
/// When nobody does, or its state cannot be read.
pub fn state(layout: &Layout) -> Result<State> {
    let state = State::read(layout)?.context("the shop is not up")?;
    ensure!(state.is_up(), "the shop's supervisor has died");
    Ok(state)
}
