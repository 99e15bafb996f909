//! Reading a file from its first byte to its last, as a stream, with its hash.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, anyhow};
use csv::{ByteRecord, Reader, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA256};

use super::products::Products;
use super::report::Report;
use super::rows::Columns;
use crate::catalogue::{Line, hex};

/// What gzip files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// No honest row is as long; a quote that is never closed would otherwise read all into memory.
const ROW_BYTES_MAX: usize = 1 << 20;
const PROGRESS_ROWS: u64 = 500;

/// A file that was read and is in order.
#[derive(Debug)]
pub struct Contents {
    /// One for each product.
    pub lines: Vec<Line>,
    /// What was in it.
    pub report: Report,
}

/// Reads and checks the whole file; `progress` gets the bytes read and the bytes there are.
///
/// # Errors
/// When it cannot be read, or a row is malformed: names the line.
pub fn read(path: &Path, progress: impl Fn(u64, u64)) -> Result<Contents> {
    let file = File::open(path)?;
    let whole = file.metadata()?.len();
    let hashed = Hashed::new(file);
    let state = Rc::clone(&hashed.state);
    let mut raw = BufReader::new(hashed);
    let zipped = raw.fill_buf()?.starts_with(&GZIP);
    let plain: Box<dyn Read> =
        if zipped { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
    let since_row = Rc::new(Cell::new(0));
    let bounded = Bounded { inner: plain, since_row: Rc::clone(&since_row) };
    let mut csv = ReaderBuilder::new().from_reader(bounded);
    let (products, mut report) = rows(&mut csv, &since_row, || progress(state.bytes.get(), whole))?;
    // Nothing may follow that was not looked at, and the hash is that of all bytes.
    io::copy(&mut csv.into_inner(), &mut io::sink())?;
    report.products = products.len();
    let source = state.digest();
    Ok(Contents { lines: products.into_lines(&source), report })
}

fn rows(
    csv: &mut Reader<Bounded>,
    since_row: &Cell<usize>,
    progress: impl Fn(),
) -> Result<(Products, Report)> {
    let header = csv.byte_headers().map_err(|error| explained(1, &error))?;
    let columns = Columns::find(header).map_err(|complaint| anyhow!("line 1: {complaint}"))?;
    let (mut products, mut report) = (Products::default(), Report::default());
    let mut record = ByteRecord::new();
    loop {
        since_row.set(0);
        let line = csv.position().line();
        match csv.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(explained(line, &error)),
        }
        let line = record.position().map_or(line, csv::Position::line);
        let complain = |complaint| anyhow!("line {line}: {complaint}");
        let row = columns.read(&record).map_err(complain)?;
        report.count(&row);
        if let Ok(sale) = row {
            products.add(sale).map_err(complain)?;
        }
        if report.rows % PROGRESS_ROWS == 0 {
            progress();
        }
    }
    Ok((products, report))
}

fn explained(line: u64, error: &csv::Error) -> anyhow::Error {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(line, csv::Position::line);
            anyhow!("line {line}: {len} fields instead of {expected_len}")
        }
        csv::ErrorKind::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            anyhow!("line {line}: the file ends in the middle (was it copied completely?)")
        }
        _ => anyhow!("line {line}: {error}"),
    }
}

/// Counts and hashes the bytes of the file itself.
struct Hashed {
    file: File,
    state: Rc<HashState>,
}

struct HashState {
    bytes: Cell<u64>,
    context: RefCell<Context>,
}

impl HashState {
    fn digest(&self) -> String {
        hex(self.context.borrow().clone().finish().as_ref())
    }
}

impl Hashed {
    fn new(file: File) -> Self {
        let context = RefCell::new(Context::new(&SHA256));
        Self { file, state: Rc::new(HashState { bytes: Cell::new(0), context }) }
    }
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.state.context.borrow_mut().update(&buffer[..count]);
        self.state.bytes.set(self.state.bytes.get() + count as u64);
        Ok(count)
    }
}

/// Refuses to read on when a row has no end.
struct Bounded {
    inner: Box<dyn Read>,
    since_row: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.since_row.set(self.since_row.get() + count);
        if self.since_row.get() > ROW_BYTES_MAX {
            return Err(io::Error::other("a row of more than a megabyte (an open quote?)"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
