//! Group commit. While one fsync runs, requests gather in the next batch; one write and one fsync then serve them all.

use std::{
    fs::File,
    io::{self, Write},
    mem,
    sync::Arc,
};

use tokio::sync::oneshot;

use super::Ledger;

/// Records that wait for the next fsync, and those who wait for them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) waiters: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.waiters.is_empty() && self.lines.is_empty()
    }
}

/// The writer; owns the file.
pub struct Writer {
    pub(super) ledger: Arc<Ledger>,
    pub(super) file: File,
}

impl Writer {
    /// Writes until the ledger is closed and everything is on disk. An error is final: what the disk holds is then
    /// unknown, the ledger answers nobody any more and the process has to start again.
    pub async fn run(self) -> io::Result<()> {
        let Writer { ledger, mut file } = self;
        let mut spare = Batch::default();
        loop {
            let (batch, last_seq, closed) = ledger.take_batch(mem::take(&mut spare));
            if batch.is_empty() {
                if closed {
                    return Ok(());
                }
                spare = batch;
                ledger.work.notified().await;
                continue;
            }
            match write(file, batch).await {
                Ok((returned, written)) => {
                    file = returned;
                    spare = written;
                }
                Err(error) => {
                    ledger.fail();
                    return Err(error);
                }
            }
            ledger.mark_durable(last_seq);
            for waiter in spare.waiters.drain(..) {
                let _ = waiter.send(()); // its client may have gone away
            }
            spare.lines.clear();
        }
    }
}

async fn write(mut file: File, batch: Batch) -> io::Result<(File, Batch)> {
    if batch.lines.is_empty() {
        return Ok((file, batch)); // somebody waits for what the last batch wrote
    }
    tokio::task::spawn_blocking(move || {
        file.write_all(&batch.lines)?;
        file.sync_data()?;
        Ok((file, batch))
    })
    .await
    .map_err(io::Error::other)?
}
