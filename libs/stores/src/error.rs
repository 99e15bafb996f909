//! What can go wrong with a store, said so that a person can act on it.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a store could not be found, fetched, started or stopped.
#[derive(Debug)]
pub enum Error {
    /// Programs are missing; the text names them, says why they could not be fetched, and lists the ways out.
    Missing(String),
    /// Another process owns the stores of this folder and is alive.
    InUse(PathBuf),
    /// A server did not come up, or a tool failed; the text carries the end of its log or output.
    Failed(String),
    /// A file or process operation of ours failed.
    Io {
        /// What was being done, with the path.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(text) | Error::Failed(text) => f.write_str(text),
            Error::InUse(dir) => {
                write!(f, "the stores in {} belong to a process that is running", dir.display())
            }
            Error::Io { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Missing(_) | Error::InUse(_) | Error::Failed(_) => None,
        }
    }
}

/// Adds what was being done to an `io::Error`.
pub(crate) trait Doing<T> {
    fn doing(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { what: format!("{what} {}", path.display()), source })
    }
}
