//! `--system`: installing the servers with the system's package manager, only when asked to.

use crate::error::Doing;
use crate::{Error, Progress, Result, Server, user};
use std::path::Path;
use std::process::{Command, Stdio};

/// A package manager: how it installs, whether as root, and its names for the three servers.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    as_root: bool,
    packages: [&'static str; 3],
}

const MANAGERS: [Manager; 4] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes", "--no-install-recommends"],
        as_root: true,
        packages: ["postgresql", "redis-server", "nats-server"],
    },
    Manager {
        program: "brew",
        install: &["install"],
        as_root: false,
        packages: ["postgresql@17", "redis", "nats-server"],
    },
    Manager {
        program: "dnf",
        install: &["install", "-y"],
        as_root: true,
        packages: ["postgresql-server", "valkey", "nats-server"],
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        as_root: true,
        packages: ["postgresql", "valkey", "nats-server"],
    },
];

/// Installs `missing` with the package manager of this system, its output shown.
///
/// This changes the machine (and may ask for a password through `sudo`): call it only when the user
/// asked for exactly this.
///
/// # Errors
/// [`Error::Missing`] when there is no manager we know, [`Error::Failed`] when it fails.
pub fn install_with_package_manager(missing: &[Server], progress: Progress) -> Result<()> {
    let Some(manager) = MANAGERS.iter().find(|manager| exists(manager.program)) else {
        let why = "no apt-get, brew, dnf or pacman to install with";
        return Err(Error::Missing(crate::ways_out(missing, why)));
    };
    let packages = missing.iter().map(|server| manager.packages[*server as usize]);
    let mut words: Vec<&str> =
        if manager.as_root && !user::is_root()? { vec!["sudo"] } else { Vec::new() };
    words.push(manager.program);
    words.extend(manager.install);
    words.extend(packages);
    progress(&words.join(" "));
    let status =
        Command::new(words[0]).args(&words[1..]).status().doing("run", Path::new(words[0]))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed(format!("{}: {status}", words.join(" "))))
    }
}

fn exists(program: &str) -> bool {
    let quiet =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok()
}
