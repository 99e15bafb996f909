//! Programs that are no stores and that some checks need: the distribution's packages, fetched and
//! unpacked as the stores' are, each set in a folder of its own below `.souk/tools`.

use crate::apt::Apt;
use crate::error::Doing;
use crate::{Home, Progress, Result, fetch, process, tools};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages that were unpacked.
#[derive(Debug, Clone)]
pub struct Packages {
    /// What would be `/` if they were installed.
    pub root: PathBuf,
    /// Folders of the shared libraries that came with them.
    pub libraries: Vec<PathBuf>,
}

impl Packages {
    /// The packages of a set, with the libraries that they need; fetched unless they are there.
    ///
    /// Safe to call from several processes at once: one fetches, the others wait for it.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] with the reason, in a few words, when they cannot be had.
    pub fn provide(home: &Home, set: &str, names: &[&str], progress: Progress) -> Result<Packages> {
        let folder = home.tools().join(set);
        crate::place::make_dir(&folder, 0o755)?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).doing("create", &lock_path)?;
        lock.lock().doing("lock", &lock_path)?;
        let root = folder.join("root");
        if !root.is_dir() {
            fetch_into(&folder, names, progress)?;
        }
        Ok(Packages { libraries: tools::library_folders(&root), root })
    }

    /// A program of theirs, such as `usr/sbin/nginx`, in a clean environment.
    pub fn command(&self, program: &str) -> Command {
        process::command(&self.root.join(program), &self.libraries, None)
    }
}

fn fetch_into(folder: &Path, names: &[&str], progress: Progress) -> Result<()> {
    let apt = Apt::prepare(folder)?;
    let fetch = || {
        let complaint = apt.update(progress)?;
        let packages = apt.with_libraries(names, complaint.as_deref())?;
        apt.download(&packages, progress)?;
        progress("unpacking");
        fetch::unpack(&apt.archives()?, folder)
    };
    let fetched = fetch();
    fetched.and(apt.clean())
}
