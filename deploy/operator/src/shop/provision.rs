//! The stores and the databases in them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use stores::{Endpoints, Member, Psql, Server, Stores};
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
        let layout = Layout::at(&options.run);
        let certificates = Some(std::path::absolute(layout.certs())?);
        let started = stores::Options { certificates, ..options.stores.clone() };
        let stores = Stores::start(&options.stores_dir, &options.tools, &started)?;
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
    let Endpoints { postgres_url, redis_url, nats_url, .. } = endpoints;
    // One for each server of NATS; what is in the other URLs is not ours to take apart.
    let nats = nats_url.split(',').zip(0..).map(|(url, number)| (Server::Nats, number, url));
    let others = [(Server::Postgres, 0, postgres_url), (Server::Redis, 0, redis_url)];
    let others = others.map(|(server, number, url)| (server, number, url.as_str()));
    let store = |(server, number, url): (Server, u8, &str)| {
        let member = Member { server, number };
        let pid = endpoints.pids.iter().find(|(of, _)| *of == member).map(|(_, pid)| *pid);
        Store {
            name: member.name(),
            url: without_password(url),
            process: pid.and_then(Process::of),
        }
    };
    others.into_iter().chain(nats).map(store).collect()
}
