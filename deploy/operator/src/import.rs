//! `cargo souk import FILE`: a catalogue out of a month of sales, in the format of the UCI data set
//! "Online Retail", `.csv` or `.csv.gz`.
//!
//! The whole file is read and checked before the shop hears of it, in memory for the distinct
//! products alone. One product per stock code that is a product; its name is its most frequent
//! description, its price the latest, its stock what the month sold. Only rows that are sales count
//! for any of that: see [`rows::Skip`] for those that are not. A sale to nobody in particular (15,000
//! rows have no customer) is a sale.

pub mod decimal;
pub mod file;
pub mod rows;
pub mod products;
pub mod report;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use stores::Home;

use crate::api::Api;
use crate::secrets::{STAFF_EMAIL, Secrets};
use crate::{catalogue, running, speak};

use report::Report;

/// The whole verb.
///
/// # Errors
/// When the shop is not up, the file is malformed (then nothing is imported), or the shop refuses.
pub async fn run(home: &Home, path: &Path) -> Result<()> {
    let (layout, state) = running::shop(home)?;
    let began = Instant::now();
    let bar = Bar::new("reading");
    let read = file::read(path, |done, whole| bar.show(done, whole));
    bar.end();
    let read = read.with_context(|| format!("{}: nothing was imported", path.display()))?;
    let reading = began.elapsed();
    let Report { rows, .. } = read.report;
    let lines = read.lines;
    ensure!(!lines.is_empty(), "{}: none of its {rows} rows is a sale", path.display());

    let api = Api::new(&state.shop_url());
    let password = Secrets::at(&layout).staff_password()?;
    let token = api.sign_in(STAFF_EMAIL, &password).await.context("signing in as staff")?;
    let began = Instant::now();
    let bar = Bar::new("sending");
    let whole = lines.len() as u64;
    let sent = move |count: usize| {
        bar.show(count as u64, whole);
        if count as u64 == whole {
            bar.end();
        }
    };
    let import = catalogue::send(&api, &token, lines, sent).await;
    let import = import.context("sending it again is safe")?;
    let bar = Bar::new("importing");
    let shown = |count: i64| bar.show(count.unsigned_abs(), whole);
    let imported = catalogue::follow(&api, &token, import, shown).await;
    bar.end();
    let imported = imported.context("sending it again imports the rest")?;
    speak::lines(&read.report.lines());
    speak::lines(&report::imported(&imported, reading, began.elapsed()));
    Ok(())
}

/// How far something is, written over itself; only for a person who looks.
#[derive(Clone, Copy, Debug)]
struct Bar {
    what: &'static str,
    shown: bool,
}

impl Bar {
    const WIDTH: u64 = 40;

    fn new(what: &'static str) -> Self {
        Self { what, shown: std::io::stderr().is_terminal() }
    }

    fn show(&self, done: u64, whole: u64) {
        if self.shown && whole > 0 {
            let filled = (done.min(whole) * Self::WIDTH / whole) as usize;
            let bar = "█".repeat(filled) + &"·".repeat(Self::WIDTH as usize - filled);
            let percent = done.min(whole) * 100 / whole;
            let mut out = std::io::stderr();
            // There is nobody to tell that standard error is closed.
            let _ = write!(out, "\r{} {bar} {percent:>3} %", self.what).and_then(|()| out.flush());
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
