//! Faults of the stores.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use operator::{Process, Shop, Signal};
use stores::{Member, Server};
use tokio::process::Command;
use tokio::time::sleep;

use super::Nemesis;
use crate::schedule::members;

impl Nemesis {
    /// NATS is stopped, loses what it had, and is started again.
    pub(super) async fn wipe_nats(&self) -> Result<()> {
        self.while_nats_is_down(async || {
            self.nats_folders()?.try_for_each(|(data, _)| remove(&data))
        })
        .await
    }

    /// A copy of what NATS has; and after some time NATS has that and no more.
    pub(super) async fn roll_nats_back(&self, later: Duration) -> Result<()> {
        self.while_nats_is_down(async || {
            for (data, copy) in self.nats_folders()? {
                remove(&copy)?;
                copied(&data, &copy).await?;
            }
            Ok(())
        })
        .await?;
        sleep(later).await;
        self.while_nats_is_down(async || {
            for (data, copy) in self.nats_folders()? {
                remove(&data)?;
                copied(&copy, &data).await?;
            }
            Ok(())
        })
        .await
    }

    /// Where each server has its streams, and where a copy of them goes.
    fn nats_folders(&self) -> Result<impl Iterator<Item = (PathBuf, PathBuf)>> {
        let (data, copies) = (self.shop.stores_data()?, self.folder.clone());
        let names = members(self.servers).map(Member::name);
        Ok(names.map(move |name| {
            (data.join(&name).join("jetstream"), copies.join(format!("{name}-copy")))
        }))
    }

    /// Whatever came of the work, NATS runs afterwards.
    async fn while_nats_is_down(&self, work: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let _alone = self.nats.lock().await;
        for member in members(self.servers) {
            let paused = self.shop.store_process(member).await.filter(Process::alive);
            paused.map_or(Ok(()), |paused| paused.signal(Signal::CONT))?; // who stands still does not end
        }
        self.shop.stop_store(Server::Nats).await?;
        let worked = work().await;
        self.shop.start_store(Server::Nats).await?;
        worked
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// With its owner.
async fn copied(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(()); // wiped before
    }
    let status = Command::new("cp").arg("-a").args([from, to]).status().await?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

/// Redis forgets everything.
pub(super) async fn flush_redis(shop: &Shop) -> Result<()> {
    let answer = shop.redis(&["FLUSHALL"]).await?;
    ensure!(answer == "+OK\r\n", "Redis answered {answer:?}");
    Ok(())
}
