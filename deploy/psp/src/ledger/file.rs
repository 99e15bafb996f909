//! The file: opened by one process at a time, read back at start, cut where a crash tore it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{
    book::Book,
    record::{Record, decode, encode},
};

const FILE_NAME: &str = "ledger.jsonl";
/// Timeout for another process to release the file.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_POLL: Duration = Duration::from_millis(10);
const FORMAT: &str = "psp-ledger/1";

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    /// Part of every id this ledger gives out, so that the ids of a ledger that was thrown away mean nothing here.
    ledger: u32,
}

/// A file that was read back: where to append, and what it says.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) ledger: u32,
    pub(super) book: Book,
}

/// Opens the ledger in `dir`, or starts one there.
pub(super) fn open(dir: &Path) -> anyhow::Result<Opened> {
    let path = dir.join(FILE_NAME);
    std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    lock(&file).with_context(|| format!("{} is used by another process", path.display()))?;
    let (ledger, book) = replay(&mut file).with_context(|| format!("ledger {}", path.display()))?;
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => begin(&mut file, dir).with_context(|| format!("starting {}", path.display()))?,
    };
    Ok(Opened { file, ledger, book })
}

/// Who had it may be about to go; and a process that is just being started holds, for a moment, all that its
/// parent has open.
fn lock(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(LOCK_POLL),
            locked => return locked,
        }
    }
}

/// Reads every line; leaves the file ending in a whole one. No ledger id: the file is empty.
fn replay(file: &mut File) -> anyhow::Result<(Option<u32>, Book)> {
    let mut reader = BufReader::with_capacity(1 << 16, file.try_clone()?);
    let (mut ledger, mut book) = (None, Book::default());
    let (mut line, mut whole_bytes) = (Vec::new(), 0);
    for number in 1_u64.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let Some(content) = line.strip_suffix(b"\n") else { break };
        match ledger {
            None => ledger = Some(read_header(content)?),
            Some(_) => read_record(content, &mut book).with_context(|| format!("line {number}"))?,
        }
        whole_bytes += length as u64;
    }
    if !line.is_empty() {
        tracing::warn!(
            bytes = line.len(),
            "cut off a torn last line: a crash interrupted its writing, nobody was told of it"
        );
        file.set_len(whole_bytes)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok((ledger, book))
}

fn read_header(line: &[u8]) -> anyhow::Result<u32> {
    let header: Header = decode(line).context("line 1")?;
    ensure!(header.format == FORMAT, "line 1: format {} is not {FORMAT}", header.format);
    Ok(header.ledger)
}

fn read_record(line: &[u8], book: &mut Book) -> anyhow::Result<()> {
    let record: Record = decode(line)?;
    if let Err(violation) = book.admit(record) {
        bail!("{violation}");
    }
    Ok(())
}

/// Writes the first line of a new file and makes file and folder entry durable.
fn begin(file: &mut File, dir: &Path) -> anyhow::Result<u32> {
    let header = Header { format: FORMAT.to_owned(), ledger: rand::random() };
    let mut line = Vec::new();
    encode(&header, &mut line)?;
    file.write_all(&line)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(header.ledger)
}
