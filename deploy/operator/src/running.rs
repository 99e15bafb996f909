//! The shop that is up, for the verbs that need one.

use anyhow::{Result, bail};
use stores::Home;

use crate::layout::Layout;
use crate::state::{Phase, State};

/// The shop of this workspace.
///
/// # Errors
/// When it is not up.
pub fn shop(home: &Home) -> Result<(Layout, State)> {
    let layout = Layout::at(&home.run());
    let state = at(&layout)?;
    Ok((layout, state))
}

/// The shop of this folder.
///
/// # Errors
/// When it is not up.
pub fn at(layout: &Layout) -> Result<State> {
    let Some(state) = State::read(layout)? else {
        bail!("the shop is not up; start it with: cargo souk up");
    };
    if !state.is_up() {
        bail!("the shop's supervisor was killed; cargo souk up cleans up and starts again");
    }
    match state.phase {
        Phase::Starting => bail!("the shop is just coming up; try again in a moment"),
        Phase::Ready => Ok(state),
        Phase::Stopping => bail!("the shop is just going down"),
    }
}
