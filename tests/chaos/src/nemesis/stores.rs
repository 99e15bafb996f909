//! Faults of the stores.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use operator::{Shop, Signal};
use stores::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::Nemesis;

const ANSWER_MAX: Duration = Duration::from_secs(3);

impl Nemesis {
    /// NATS is stopped, loses what it had, and is started again.
    pub(super) async fn wipe_nats(&self) -> Result<()> {
        let data = self.shop.stores_data()?.join("nats/jetstream");
        self.while_nats_is_down(async || remove(&data)).await
    }

    /// A copy of what NATS has; and after some time NATS has that and no more.
    pub(super) async fn roll_nats_back(&self, later: Duration) -> Result<()> {
        let (data, copy) =
            (self.shop.stores_data()?.join("nats/jetstream"), self.folder.join("nats-copy"));
        self.while_nats_is_down(async || {
            remove(&copy)?;
            copied(&data, &copy).await
        })
        .await?;
        sleep(later).await;
        self.while_nats_is_down(async || {
            remove(&data)?;
            copied(&copy, &data).await
        })
        .await
    }

    /// Whatever came of the work, NATS runs afterwards.
    async fn while_nats_is_down(&self, work: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let _alone = self.nats.lock().await;
        if let Some(paused) = self.shop.store_process(Server::Nats).await {
            paused.signal(Signal::CONT)?; // who stands still does not end
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
    let url = &shop.endpoints().redis_url;
    let Some((password, address)) =
        url.strip_prefix("redis://:").and_then(|rest| rest.split_once('@'))
    else {
        bail!("Redis has an address of another kind");
    };
    let flush = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("AUTH {password}\r\nFLUSHALL\r\nQUIT\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer == "+OK\r\n+OK\r\n+OK\r\n", "Redis answered {answer:?}");
        Ok(())
    };
    timeout(ANSWER_MAX, flush).await.context("Redis does not answer")?
}
