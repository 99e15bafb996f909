//! A small disk for PostgreSQL, in memory, so that it can be filled without harm to the machine.
//! Only root may mount one; elsewhere the fault is left out, and the run says so.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use stores::{Member, Stores};

use crate::schedule::members;

/// Room for the databases of a run and for the shortened log.
const SIZE: &str = "size=1g,mode=0755";
const CHUNK_BYTES: usize = 1 << 20;

/// What PostgreSQL is told so that the disk is not full by itself.
pub(crate) const SHORT_LOG: &str =
    "alter system set max_wal_size = '256MB';\nselect pg_reload_conf();\n";

/// A mounted disk. It is unmounted when this is dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one where the stores of this folder will have their data. NATS keeps its own elsewhere:
    /// a full disk makes it give up its streams until it is started again, which is another fault.
    ///
    /// # Errors
    /// When this user may not mount, or something is in the way.
    pub(crate) fn mount(stores: &Path, nats: u8) -> Result<Self> {
        let at = Stores::data_folder_of(stores)?.0;
        make(&at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "souk-chaos"]).arg(&at);
        let output = mount.output().context("mount")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", complaint.lines().next().unwrap_or("mount failed"));
        let disk = Self { at };
        for name in members(nats).map(Member::name) {
            let folder = nats_beside(&disk.at).join(&name);
            make(&folder)?;
            symlink(&folder, disk.at.join(&name))?;
        }
        Ok(disk)
    }

    /// Unmounts what a run left behind that was killed. Its stores must have ended.
    ///
    /// # Errors
    /// When it is in use.
    pub(crate) fn clear(stores: &Path) -> Result<()> {
        let at = Stores::data_folder_of(stores)?.0;
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let name = at.display().to_string();
        if mounts.lines().any(|line| line.split(' ').nth(1) == Some(&name)) {
            unmount(&at)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.at) {
            eprintln!("{error:#}"); // the next run clears it
        }
    }
}

/// Fills the disk that this folder is on, to the last byte; answers the file that does.
///
/// # Errors
/// When it cannot be written for another reason.
pub(crate) fn fill(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("filler");
    let mut file = File::create(&path)?;
    let chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.write(&chunk) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(path),
            Err(error) => {
                fs::remove_file(&path)?;
                return Err(error).context("filling the disk");
            }
        }
    }
}

fn make(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))
}

fn nats_beside(at: &Path) -> PathBuf {
    at.with_extension("nats")
}

fn unmount(at: &Path) -> Result<()> {
    let status = Command::new("umount").arg(at).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "cannot unmount {}", at.display());
    match fs::remove_dir_all(nats_beside(at)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
