//! Getting the programs without installing them: the distribution's own signed packages, unpacked
//! into `.souk/tools/root`.
//!
//! All shared libraries of the servers are fetched too, but for the C runtime, even those that the
//! machine has: the unpacked tree then works on any machine with the same distribution, and can be
//! copied to one without a network.

use crate::apt::Apt;
use crate::error::Doing;
use crate::{Error, Home, Progress, Result, Server, Source, Tools, tools};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Finds the programs of `needed`, and fetches what is missing.
///
/// Safe to call from several processes at once: one fetches, the others wait for it.
///
/// # Errors
/// [`Error::Missing`] with the ways out, within a second when there is no network or no `apt-get`.
pub fn provide(home: &Home, needed: &[Server], progress: Progress) -> Result<Tools> {
    let found = Tools::find(home);
    if found.missing(needed).is_empty() {
        return Ok(found);
    }
    fetch(home, needed, progress)
}

/// Fetches those of `needed` that cannot be found into `.souk/tools`, and tells what can be used then.
///
/// # Errors
/// As [`provide`].
pub fn fetch(home: &Home, needed: &[Server], progress: Progress) -> Result<Tools> {
    let folder = home.tools();
    crate::place::make_dir(&folder, 0o755)?;
    let lock_path = folder.join("lock");
    let lock = File::create(&lock_path).doing("create", &lock_path)?;
    lock.lock().doing("lock", &lock_path)?;

    let found = Tools::find(home);
    let missing = found.missing(needed);
    if missing.is_empty() {
        return Ok(found);
    }
    named_is_usable(&found)?;
    let fetched =
        |server: &Server| found.get(*server).is_some_and(|tool| tool.source == Source::Fetched);
    let wanted: Vec<Server> = Server::ALL
        .into_iter()
        .filter(|server| missing.contains(server) || fetched(server))
        .collect();
    fetch_into(&folder, &wanted, progress).map_err(|error| explain(error, &missing))?;
    let found = Tools::find(home);
    match found.missing(needed).as_slice() {
        [] => Ok(found),
        missing => Err(Error::Missing(tools::ways_out(missing, &rejections(&found)))),
    }
}

/// Whether [`fetch()`] could do it: it has `apt-get` and a network, and nobody has named a program that
/// cannot be run. Answers within a second.
///
/// # Errors
/// [`Error::Missing`] with the reason, in a few words.
pub fn can_fetch(home: &Home) -> Result<()> {
    named_is_usable(&Tools::find(home))?;
    Apt::prepare(&home.tools()).and_then(Apt::clean)
}

/// Whoever names a program wants no other in its place.
fn named_is_usable(found: &Tools) -> Result<()> {
    if found.nats.is_some() || tools::named_nats().is_none() {
        return Ok(());
    }
    Err(Error::Missing(format!("{}: {}", tools::NATS_VARIABLE, rejections(found))))
}

fn explain(error: Error, missing: &[Server]) -> Error {
    match error {
        Error::Missing(why) => Error::Missing(tools::ways_out(missing, &why)),
        other => other,
    }
}

fn rejections(found: &Tools) -> String {
    match found.rejected.as_slice() {
        [] => "the packages do not contain it".to_owned(),
        rejected => rejected.join("; "),
    }
}

fn fetch_into(folder: &Path, wanted: &[Server], progress: Progress) -> Result<()> {
    let apt = Apt::prepare(folder)?;
    let unpacked = fetch_with(&apt, folder, wanted, progress);
    unpacked.and(apt.clean())
}

fn fetch_with(apt: &Apt, folder: &Path, wanted: &[Server], progress: Progress) -> Result<()> {
    let complaint = apt.update(progress)?;
    let packages = apt.packages_for(wanted, complaint.as_deref())?;
    apt.download(&packages, progress)?;
    progress("unpacking");
    unpack(&apt.archives()?, folder)?;
    let (root, size) = (folder.join("root"), folder_size(&folder.join("root")) / 1_000_000);
    progress(&format!("unpacked into {} ({size} MB); nothing was installed", root.display()));
    Ok(())
}

/// Unpacks beside the final place and renames: an interrupted fetch leaves no half of a server.
pub(crate) fn unpack(archives: &[std::path::PathBuf], folder: &Path) -> Result<()> {
    let (staging, root) = (folder.join("root.new"), folder.join("root"));
    remove_tree(&staging)?;
    for archive in archives {
        let output = Command::new("dpkg-deb")
            .arg("-x")
            .arg(archive)
            .arg(&staging)
            .output()
            .doing("unpack", archive)?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Failed(format!("cannot unpack {}: {complaint}", archive.display())));
        }
    }
    trim(&staging)?;
    remove_tree(&root)?;
    fs::rename(&staging, &root).doing("rename", &staging)
}

/// Translations, manuals, and the bitcode for a JIT that is off: a third of it all.
fn trim(root: &Path) -> Result<()> {
    ["usr/share/locale", "usr/share/man"]
        .iter()
        .try_for_each(|part| remove_tree(&root.join(part)))?;
    let versions = fs::read_dir(root.join("usr/lib/postgresql")).into_iter().flatten().flatten();
    versions.into_iter().try_for_each(|version| remove_tree(&version.path().join("lib/bitcode")))
}

pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing("remove", path)
        }
        _ => Ok(()),
    }
}

fn folder_size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let meta = entry.path().symlink_metadata().ok()?;
            Some(if meta.is_dir() { folder_size(&entry.path()) } else { meta.len() })
        })
        .sum()
}
