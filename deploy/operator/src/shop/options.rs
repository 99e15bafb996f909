//! What kind of shop.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use souk::cli::Replicas;
use stores::Tools;

use crate::plan::Task;

/// What kind of shop.
#[derive(Clone, Debug)]
pub struct Options {
    /// Certificates, secrets, logs and state go here.
    pub run: PathBuf,
    /// The stores' data goes here.
    pub stores_dir: PathBuf,
    /// The stores' programs.
    pub tools: Tools,
    /// Stores that somebody else runs.
    pub stores: stores::Options,
    /// The folder of the processes' executables.
    pub programs: PathBuf,
    /// `release` or `dev`; only to be told.
    pub profile: String,
    /// Of the first gateway; further ones get the ports after it. Without it, free ones.
    pub port: Option<u16>,
    /// Copies of each service.
    pub replicas: Replicas,
    /// Databases of the carts, and of the orders.
    pub shards: u16,
    /// Services that run in the gateway's process, whose program is then `monolith`.
    pub inside: Vec<String>,
    /// Whether processes and stores that die are started again.
    pub restart: bool,
    /// How long a checkout may take; the order service's own default without it.
    pub checkout_deadline: Option<Duration>,
    /// Where spans go. Without it the shop has a collector of its own.
    pub collector: Option<String>,
    /// Settings for single services, beside and before those that the shop makes:
    /// `("payment", "SOUK_LOG", "debug")`.
    pub environment: Vec<(String, String, String)>,
    /// Whether what happens is told on standard error.
    pub aloud: bool,
    /// Whether the operator's page runs beside it.
    pub console: bool,
    /// Leads processes to others by a way of its own.
    pub detour: Option<Detour>,
}

/// Changes what processes are told of each other and of the stores: for a proxy between them. Gets
/// the process, the name of a setting, and its value.
#[derive(Clone)]
pub struct Detour(pub Arc<Lead>);

/// What a [`Detour`] does to a value.
pub type Lead = dyn Fn(&Task, &str, String) -> Result<String> + Send + Sync;

impl fmt::Debug for Detour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detour")
    }
}

impl Options {
    /// A shop in a folder of its own, on free ports, with the executables that were built beside
    /// this one.
    ///
    /// # Errors
    /// When this program does not know where it is.
    pub fn in_folder(folder: &Path, tools: Tools) -> Result<Self> {
        Ok(Self {
            run: folder.join("run"),
            stores_dir: folder.join("stores"),
            tools,
            stores: stores::Options::default(),
            programs: programs_beside_this()?,
            profile: profile_of_this().to_owned(),
            port: None,
            replicas: Replicas::default(),
            shards: 1,
            inside: Vec::new(),
            restart: true,
            checkout_deadline: None,
            collector: None,
            environment: Vec::new(),
            aloud: false,
            console: false,
            detour: None,
        })
    }
}

/// The folder of this executable; of a test's, the folder above its `deps`.
///
/// # Errors
/// When this program does not know where it is.
pub fn programs_beside_this() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let folder = program.parent().context("this program is in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    folder.map(Path::to_owned).context("this program is in no folder")
}

/// The profile that this executable was built with.
pub fn profile_of_this() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}
