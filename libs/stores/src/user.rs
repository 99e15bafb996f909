//! The unprivileged user that the servers run as when we are root: PostgreSQL refuses root, and the
//! others have no need of it.

use crate::error::Doing;
use crate::{Error, Result};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// An unprivileged user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUser {
    pub(crate) name: &'static str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl ServerUser {
    /// Nobody when we are not root: the servers then run as we do.
    pub(crate) fn needed() -> Result<Option<ServerUser>> {
        if !is_root()? {
            return Ok(None);
        }
        let known = |name| Some(ServerUser { name, uid: id("-u", name)?, gid: id("-g", name)? });
        let user = ["postgres", "nobody"].into_iter().find_map(known).filter(|user| user.uid != 0);
        let missing = || {
            Error::Failed("PostgreSQL refuses root, and there is no user postgres or nobody".into())
        };
        user.ok_or_else(missing).map(Some)
    }

    /// Whether this user can get at the path; asked of the system, because ACLs and mounts count too.
    pub(crate) fn can_reach(&self, path: &Path) -> bool {
        let mut test = Command::new("sh");
        test.args(["-c", "test -x \"$1\"", "sh"])
            .arg(path)
            .uid(self.uid)
            .gid(self.gid)
            .current_dir("/");
        test.stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Gives the file or folder to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .doing("change the owner of", path)
    }
}

/// Whether this process may do anything.
pub(crate) fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().doing("run", Path::new("id"))?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().parse().ok())?
}
