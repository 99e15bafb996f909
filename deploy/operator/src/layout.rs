//! Where a running shop keeps its things: one folder, private to its user.
//!
//! ```text
//! <run>/state.json   what runs; there only while the shop is up (or was killed)
//! <run>/control      the supervisor's socket: faults are asked for there
//! <run>/lock         held by the supervisor for as long as it lives
//! <run>/certs/       authority/, and one folder for each process
//! <run>/secrets/     keys and passwords, made once, mode 0600
//! <run>/logs/        one file for each process
//! <run>/psp/         the payment provider's ledger
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The folders of one shop.
#[derive(Clone, Debug)]
pub struct Layout {
    run: PathBuf,
}

impl Layout {
    /// The shop of this folder, whether or not it exists.
    pub fn at(run: &Path) -> Self {
        Self { run: run.to_owned() }
    }

    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn create(run: &Path) -> Result<Self> {
        let run = std::path::absolute(run)?;
        let layout = Self { run };
        for folder in [layout.certs(), layout.secrets(), layout.logs(), layout.psp_ledger()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(layout)
    }

    /// The folder itself.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The state file.
    pub fn state_file(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// Where the supervisor takes its commands.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control")
    }

    /// Certificates.
    pub fn certs(&self) -> PathBuf {
        self.run.join("certs")
    }

    /// The certificate folder of a process.
    pub fn certs_of(&self, name: &str) -> PathBuf {
        self.certs().join(name)
    }

    /// Keys and passwords.
    pub fn secrets(&self) -> PathBuf {
        self.run.join("secrets")
    }

    /// Log files.
    pub fn logs(&self) -> PathBuf {
        self.run.join("logs")
    }

    /// The log file of a process.
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// The payment provider's ledger.
    pub fn psp_ledger(&self) -> PathBuf {
        self.run.join("psp")
    }

    /// Makes this process the one that runs the shop of this folder, for as long as the file is
    /// open. The kernel takes it back from a process that was killed.
    ///
    /// # Errors
    /// When another process has it.
    pub fn own(&self) -> Result<File> {
        let path = self.run.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                bail!("another process runs the shop of {}", self.run.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

/// Replaces a file in one step, so that a reader sees the old content or the new. Only its owner
/// may read it.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&fresh)?.write_all(content)?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
