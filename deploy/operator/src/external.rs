//! An external PostgreSQL (not started by the shop): which one it was, so that `down --wipe` can remove the
//! shop's databases from it. Nothing else on that server is touched.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use stores::{Psql, Tools};

use crate::databases;
use crate::layout::{Layout, replace};

fn file(layout: &Layout) -> PathBuf {
    layout.secrets().join("external-postgres-url")
}

/// Remembers the server.
///
/// # Errors
/// When it cannot be written down.
pub fn remember(layout: &Layout, options: &stores::Options) -> Result<()> {
    match &options.postgres_url {
        Some(url) => replace(&file(layout), url.as_bytes()),
        None => Ok(()),
    }
}

/// Removes the shop's databases and roles from the server, if there is one.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub fn wipe(layout: &Layout, tools: &Tools) -> Result<()> {
    let url = match fs::read_to_string(file(layout)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        url => url?,
    };
    let psql = Psql::of(tools).context("no psql on this machine")?;
    databases::remove(&psql, &url).context("removing the shop's databases from your PostgreSQL")
}
