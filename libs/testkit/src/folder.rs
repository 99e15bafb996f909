//! A test's own folder. It lies in `.souk`, where the stores' unprivileged user can reach it (a
//! folder under /tmp with mode 0700 it could not), and where the next test finds what a killed
//! one left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use stores::{Home, Stores};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// The store that is a test's own runs in here.
pub(crate) const NATS: &str = "nats";

/// Removed when dropped.
pub(crate) struct Folder {
    pub path: PathBuf,
}

impl Folder {
    pub(crate) fn new(home: &Home) -> Self {
        let all = home.path().join("tests");
        fs::create_dir_all(&all).expect("a folder");
        clean(&all);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = all.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self { path }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Ends and removes what tests left that were killed.
fn clean(all: &Path) {
    let Ok(folders) = fs::read_dir(all) else { return };
    for folder in folders.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let process = name.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        if process.is_some_and(|pid| !lives(pid)) {
            remove(&folder.path());
        }
    }
}

fn lives(pid: u32) -> bool {
    let asked = Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
    asked.is_ok_and(|answer| answer.success())
}

fn remove(folder: &Path) {
    let wiped = Stores::wipe(&folder.join(NATS)).map_err(|error| error.to_string());
    let removed = fs::remove_dir_all(folder).map_err(|error| error.to_string());
    if let Err(error) = wiped.and(removed) {
        eprintln!("{}: {error}", folder.display());
    }
}
