//! Free ports on loopback, remembered so that a restart keeps them.

use crate::error::Doing;
use crate::{Error, Result, random};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Below the range that systems hand out for outgoing connections: a port in that range could be
/// taken by a client's connection while its server restarts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// The port in `file` if it is free now, or a new one, which is then written there.
pub(crate) fn keep_or_choose(file: &Path) -> Result<u16> {
    match remembered(file).filter(|port| is_free(*port)) {
        Some(port) => Ok(port),
        None => choose(file),
    }
}

/// The port in `file`.
pub(crate) fn remembered(file: &Path) -> Option<u16> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn choose(file: &Path) -> Result<u16> {
    for _ in 0..100 {
        let port = FIRST + u16::from_le_bytes(random::bytes()?) % COUNT;
        if is_free(port) && !is_anothers(file, port) {
            fs::write(file, format!("{port}\n")).doing("write", file)?;
            return Ok(port);
        }
    }
    Err(Error::Failed(format!("no free port between {FIRST} and {}", FIRST + COUNT)))
}

/// Whether a file beside this one has it: its server may only just not be up.
fn is_anothers(file: &Path, port: u16) -> bool {
    let beside = file.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    let others = beside.flatten().map(|other| other.path()).filter(|other| other != file);
    others.into_iter().any(|other| remembered(&other) == Some(port))
}

/// Whether a server could listen there now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_while_it_is_free_and_chosen_again_when_taken() {
        let folder = std::env::temp_dir().join(format!("souk-port-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("port");
        let first = keep_or_choose(&file).expect("a port");
        assert_eq!(keep_or_choose(&file).expect("a port"), first);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("it is free");
        let second = keep_or_choose(&file).expect("a port");
        assert_ne!(second, first);
        assert_eq!(remembered(&file), Some(second));
        drop(taken);
        assert!(is_anothers(&folder.join("other"), second) && !is_anothers(&file, second));
        fs::remove_dir_all(&folder).expect("made above");
    }
}
