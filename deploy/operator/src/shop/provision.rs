//! The stores and the databases in them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use stores::{Endpoints, Psql, Server, Stores};
use tokio::task::spawn_blocking;

use super::Options;
use crate::layout::Layout;
use crate::process::Process;
use crate::secrets::Secrets;
use crate::state::{Store, without_password};
use crate::{databases, external};

/// The URLs of each context, in the order of its shards.
pub(super) type Databases = BTreeMap<String, Vec<String>>;

/// Starts the stores and makes the databases; leaves nothing running when that fails.
pub(super) async fn start_stores(
    options: &Options,
    secrets: &Secrets,
) -> Result<(Stores, Endpoints, Databases)> {
    let (options, secrets) = (options.clone(), secrets.clone());
    let starting = spawn_blocking(move || {
        let stores = Stores::start(&options.stores_dir, &options.tools, &options.stores)?;
        let layout = Layout::at(&options.run);
        let provide = || {
            external::remember(&layout, &options.stores)?;
            let endpoints = stores.endpoints()?;
            let psql = Psql::of(&options.tools).context("no psql on this machine")?;
            let url = &endpoints.postgres_url;
            let databases = databases::provide(&psql, url, &secrets, options.shards)?;
            anyhow::Ok((endpoints, databases))
        };
        match provide() {
            Ok((endpoints, databases)) => Ok((stores, endpoints, databases)),
            Err(error) => {
                let _ = stores.stop(); // the first error is the one to tell
                Err(error)
            }
        }
    });
    starting.await?
}

/// The stores as they can be shown.
pub(super) fn shown(endpoints: &Endpoints) -> Vec<Store> {
    let urls = [&endpoints.postgres_url, &endpoints.redis_url, &endpoints.nats_url];
    let store = |(server, url): (Server, &String)| {
        let pid = endpoints.pids.iter().find(|(of, _)| *of == server).map(|(_, pid)| *pid);
        Store {
            name: server.key().to_owned(),
            url: without_password(url),
            process: pid.and_then(Process::of),
        }
    };
    Server::ALL.into_iter().zip(urls).map(store).collect()
}
