//! The supervisor's own log: lines with the time of day, in a file and, in the foreground, on the terminal.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

use crate::layout::Layout;

/// The supervisor's log. Clones are one.
#[derive(Clone, Debug)]
pub struct Journal {
    file: Arc<Mutex<File>>,
    aloud: bool,
}

impl Journal {
    /// Continues the log of this shop; `aloud` says whether standard error gets the lines too.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(layout: &Layout, aloud: bool) -> Result<Self> {
        let path = layout.log_of("supervisor");
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { file: Arc::new(Mutex::new(file)), aloud })
    }

    /// Writes one line.
    pub fn note(&self, text: &str) {
        let now = kernel::clock::now();
        let (hour, minute, second) = now.time().as_hms();
        let line = format!("{hour:02}:{minute:02}:{second:02} {text}\n");
        if self.aloud {
            eprint!("{line}");
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written has nowhere to say so.
        let _ = write!(file, "{} {line}", now.date()).and_then(|()| file.flush());
    }
}
