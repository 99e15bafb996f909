//! The folder `.souk` beside the workspace's Cargo.toml: everything private to this checkout.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// `.souk`, the one folder that the shop writes to.
///
/// The layout is decided here so that the launcher, the operator and the tests agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home of the workspace whose root folder is `workspace` (absolute).
    pub fn of_workspace(workspace: &Path) -> Home {
        Home { path: workspace.join(".souk") }
    }

    /// The home of the workspace that the current folder is in.
    pub fn find() -> Result<Home> {
        let here = std::env::current_dir()
            .map_err(|source| Error::Io { what: "find the current folder".into(), source })?;
        here.ancestors()
            .find(|dir| dir.join("Cargo.toml").is_file() && dir.join("deploy/souk").is_dir())
            .map(Home::of_workspace)
            .ok_or_else(|| {
                Error::Failed(format!("{} is not inside the Souk repository", here.display()))
            })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root of the workspace.
    pub fn workspace(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Programs fetched from the distribution's packages.
    pub fn tools(&self) -> PathBuf {
        self.path.join("tools")
    }

    /// The stores of `cargo souk up`.
    pub fn stores(&self) -> PathBuf {
        self.path.join("stores")
    }

    /// The stores that tests share.
    pub fn test_stores(&self) -> PathBuf {
        self.path.join("test-stores")
    }

    /// Certificates, logs and state of the running shop.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// What runs, as `cargo souk up` left it. It exists only while the shop is up (or was killed).
    pub fn state_file(&self) -> PathBuf {
        self.run().join("state.json")
    }
}
