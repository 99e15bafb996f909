//! Is a port free, and if not, whose is it?

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

/// Who listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// Nobody.
    Free,
    /// A process, as far as we may look: `nginx (pid 812)`, or `another user's process`.
    Taken(String),
}

/// Looks at a TCP port of this machine's loopback.
pub fn look(port: u16) -> Port {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Port::Taken("the system: ports below 1024 are for root".to_owned())
        }
        Err(_) => Port::Taken(owner(port).unwrap_or_else(|| "another user's process".to_owned())),
    }
}

/// On Linux: the listening socket's inode, and the process that has it open.
fn owner(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| {
            table.lines().filter_map(|line| listening_inode(line, port)).collect::<Vec<_>>()
        })
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_open(*pid, &inodes))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", name.trim()))
}

/// `sl local_address rem_address st … inode`, state 0A is LISTEN.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    let matches = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(3)? == "0A";
    matches.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

fn has_open(pid: u32, inodes: &[String]) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.any(|target| {
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|known| known == inode))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that is given back may be somebody else's at once, but not every time.
    #[test]
    fn a_port_that_is_given_back_is_free() {
        let free = (0..20).any(|_| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let port = listener.local_addr().expect("bound").port();
            drop(listener);
            look(port) == Port::Free
        });
        assert!(free);
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let Port::Taken(owner) = look(port) else { panic!("{port} is taken") };
        if cfg!(target_os = "linux") {
            assert!(owner.ends_with(&format!("(pid {})", std::process::id())), "{owner}");
        }
    }
}
