//! Where the stores of one folder keep their things.
//!
//! ```text
//! <dir>/lock      held while stores are started or stopped
//! <dir>/owner     held by the process that started them, for as long as it lives
//! <dir>/ports/    one file per port      <dir>/pids/     one file per process
//! <dir>/secrets/  one password each      <dir>/logs/     one file per server
//! <dir>/data/     what the servers own: postgres/ redis/ nats/ and their configuration
//! ```
//!
//! As root the servers run as another user. Where that user cannot search the way to `<dir>` (a
//! checkout in /root, say), `data` is a folder under /var/tmp, named in `<dir>/data-folder`.

use crate::error::Doing;
use crate::user::ServerUser;
use crate::{Error, Member, Options, Program, Result, Server, Source, fetch, random, tools};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Socket paths are limited to 107 bytes by the kernel; this leaves room for PostgreSQL's file name.
const SOCKET_FOLDER_MAX: usize = 80;

/// Names the data folder when it is elsewhere.
const NOTE: &str = "data-folder";

/// The folders of one set of stores, and the user that the servers run as.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) user: Option<ServerUser>,
    /// Where the servers' certificates come from.
    certificates: Option<PathBuf>,
    /// Whether PostgreSQL counts its statements.
    pub(crate) statements: bool,
}

/// Where a server reads its certificate.
pub(crate) struct Certificate {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The folder of one server's certificate in that of all.
pub(crate) fn certificate_of(certificates: &Path, server: Server) -> PathBuf {
    certificates.join(server.key())
}

impl Place {
    /// Makes the folders.
    pub(crate) fn open(dir: &Path) -> Result<Place> {
        let dir = std::path::absolute(dir).doing("find", dir)?;
        make_dir(&dir, 0o755)?;
        for (inner, mode) in
            [("ports", 0o755), ("pids", 0o755), ("secrets", 0o700), ("logs", 0o700)]
        {
            make_dir(&dir.join(inner), mode)?;
        }
        let user = ServerUser::needed()?;
        let data = make_data_folder(&dir, user.as_ref())?;
        Ok(Place { dir, data, user, certificates: None, statements: false })
    }

    /// Its servers speak TLS with these certificates, and count what they are asked to.
    pub(crate) fn with(self, options: &Options) -> Place {
        let (certificates, statements) = (options.certificates.clone(), options.statements);
        Place { certificates, statements, ..self }
    }

    /// A server's certificate, copied into `folder` of [`Place::server_dir`]; none when it is to speak no TLS.
    pub(crate) fn certificate(&self, server: Server, folder: &Path) -> Result<Option<Certificate>> {
        let Some(certificates) = &self.certificates else { return Ok(None) };
        let copy = |name: &str| {
            let original = certificate_of(certificates, server).join(name);
            let text = fs::read_to_string(&original).doing("read", &original)?;
            let path = folder.join(name);
            self.server_file(&path, &text).map(|()| path)
        };
        Ok(Some(Certificate {
            authority: copy("ca.pem")?,
            certificate: copy("cert.pem")?,
            key: copy("key.pem")?,
        }))
    }

    /// The folders as they are, for a look that must not create any; none when nothing was ever started.
    pub(crate) fn existing(dir: &Path) -> Result<Option<Place>> {
        if dir.join("pids").is_dir() { Place::open(dir).map(Some) } else { Ok(None) }
    }

    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).doing("create", &path)?;
        file.lock().doing("lock", &path)?;
        Ok(file)
    }

    /// Ownership for as long as the file is open. The kernel gives it up for a process that was killed.
    pub(crate) fn own(&self) -> Result<File> {
        let path = self.dir.join("owner");
        let file = File::create(&path).doing("create", &path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(self.dir.clone())),
            Err(fs::TryLockError::Error(error)) => Err(error).doing("lock", &path),
        }
    }

    pub(crate) fn pid_file(&self, member: Member) -> PathBuf {
        self.dir.join("pids").join(member.name())
    }

    /// The processes that this folder may have: the first of each store, and whoever else has left a
    /// pid file. In the order in which they are started.
    pub(crate) fn members(&self) -> Vec<Member> {
        let files = fs::read_dir(self.dir.join("pids")).into_iter().flatten().flatten();
        let noted = files.filter_map(|file| Member::of_name(&file.file_name().to_string_lossy()));
        let all: BTreeSet<Member> =
            Server::ALL.map(Member::from).into_iter().chain(noted).collect();
        all.into_iter().collect()
    }

    pub(crate) fn port_file(&self, name: &str) -> PathBuf {
        self.dir.join("ports").join(name)
    }

    pub(crate) fn log_file(&self, member: Member) -> PathBuf {
        self.dir.join("logs").join(format!("{}.log", member.name()))
    }

    /// The password of a server, made when it is first asked for.
    pub(crate) fn secret(&self, server: Server) -> Result<String> {
        self.secret_of(server.key())
    }

    /// The password of a process's user of a server, made when it is first asked for.
    pub(crate) fn user_secret(&self, server: Server, user: &str) -> Result<String> {
        self.secret_of(&format!("{}-{user}", server.key()))
    }

    fn secret_of(&self, name: &str) -> Result<String> {
        let path = self.dir.join("secrets").join(name);
        match fs::read_to_string(&path) {
            Ok(secret) => Ok(secret),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let secret = random::password()?;
                write_private(&path, &secret, None)?;
                Ok(secret)
            }
            Err(error) => Err(error).doing("read", &path),
        }
    }

    /// A folder that belongs to the servers' user alone.
    pub(crate) fn server_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.data.join(name);
        make_dir(&path, 0o700)?;
        self.user.iter().try_for_each(|user| user.own(&path))?;
        Ok(path)
    }

    /// A file in [`Place::server_dir`] that only the servers' user can read.
    pub(crate) fn server_file(&self, path: &Path, text: &str) -> Result<()> {
        write_private(path, text, self.user.as_ref())
    }

    /// A short folder for PostgreSQL's socket.
    pub(crate) fn socket_dir(&self) -> Result<PathBuf> {
        if self.data.as_os_str().len() < SOCKET_FOLDER_MAX {
            return self.server_dir("socket");
        }
        let path = Path::new("/tmp").join(outside_name(&self.dir));
        make_dir(&path, 0o700)?;
        only_ours(&path, self.user.as_ref())?;
        self.user.iter().try_for_each(|user| user.own(&path))?;
        Ok(path)
    }

    /// The program as the servers' user can run it: fetched programs that are out of its reach are copied
    /// beside the data. Not for several threads at once.
    pub(crate) fn reachable(&self, program: &Program) -> Result<Program> {
        let out_of_reach = self.user.as_ref().filter(|user| !user.can_reach(&program.path));
        let Some(user) = out_of_reach else { return Ok(program.clone()) };
        if program.source == Source::Named {
            let copy = self.data.join("named");
            make_dir(&copy, 0o755)?;
            let path = copy.join(program.path.file_name().unwrap_or_default());
            fs::copy(&program.path, &path).doing("copy", &program.path)?;
            return Ok(Program { path, ..program.clone() });
        }
        let root = program.path.ancestors().find(|folder| folder.ends_with("tools/root"));
        let Some(root) = root.filter(|_| program.source == Source::Fetched) else {
            let (path, name) = (program.path.display(), user.name);
            return Err(Error::Failed(format!(
                "{path} cannot be run by the user {name}, as which the servers run when started as root; \
                 {}=1 uses fetched programs instead",
                tools::HIDE_VARIABLE
            )));
        };
        let copy = self.data.join("tools");
        copy_tree(root, &copy)?;
        let inner = program.path.strip_prefix(root).unwrap_or(&program.path);
        let libraries = tools::library_folders(&copy);
        Ok(Program { path: copy.join(inner), libraries, ..program.clone() })
    }

    /// Removes everything, the folder itself included.
    pub(crate) fn remove(self) -> Result<()> {
        if !self.data.starts_with(&self.dir) {
            fetch::remove_tree(&self.data)?;
        }
        let socket = Path::new("/tmp").join(outside_name(&self.dir));
        if socket.is_dir() && only_ours(&socket, self.user.as_ref()).is_ok() {
            fetch::remove_tree(&socket)?;
        }
        fetch::remove_tree(&self.dir)
    }
}

/// Where the servers of `dir` keep their data, or will.
pub(crate) fn data_folder(dir: &Path, user: Option<&ServerUser>) -> PathBuf {
    let noted =
        fs::read_to_string(dir.join(NOTE)).ok().map(PathBuf::from).filter(|path| path.is_dir());
    let reachable = || user.is_none_or(|user| user.can_reach(nearest_existing(dir)));
    match noted {
        Some(path) => path,
        None if reachable() => dir.join("data"),
        None => Path::new("/var/tmp").join(outside_name(dir)),
    }
}

fn make_data_folder(dir: &Path, user: Option<&ServerUser>) -> Result<PathBuf> {
    let path = data_folder(dir, user);
    if path.starts_with(dir) {
        make_dir(&path, 0o755)?;
    } else {
        make_dir(&path, 0o711)?;
        only_ours(&path, None)?;
        let note = dir.join(NOTE);
        fs::write(&note, path.as_os_str().as_encoded_bytes()).doing("write", &note)?;
    }
    Ok(path)
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(path)
}

/// A name for a folder outside of `dir` that is always the same for `dir` (FNV-1a of its path).
fn outside_name(dir: &Path) -> String {
    let bytes = dir.as_os_str().as_encoded_bytes();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("souk-{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Everybody may write to /tmp: refuse a folder there that somebody else has put in our way.
fn only_ours(path: &Path, user: Option<&ServerUser>) -> Result<()> {
    let meta = path.symlink_metadata().doing("look at", path)?;
    let me = fs::metadata("/proc/self").map_or(meta.uid(), |process| process.uid());
    let ours = meta.uid() == me || user.is_some_and(|user| user.uid == meta.uid());
    if meta.is_dir() && ours {
        return Ok(());
    }
    Err(Error::Failed(format!("{} exists and is not ours", path.display())))
}

/// Makes a folder and the missing ones above it, whatever the umask says.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dir(parent, 0o755)?;
    }
    match DirBuilder::new().mode(mode & 0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).doing("create", path);
        }
        _ => {}
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).doing("set the mode of", path)
}

fn write_private(path: &Path, text: &str, user: Option<&ServerUser>) -> Result<()> {
    let staging = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&staging)
        .doing("create", &staging)?;
    file.write_all(text.as_bytes()).doing("write", &staging)?;
    user.iter().try_for_each(|user| user.own(&staging))?;
    fs::rename(&staging, path).doing("write", path)
}

/// `cp -a`, unless a copy of the same age is there. Never leaves half a copy under the final name.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let age = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if to.is_dir() && age(from) == age(to) {
        return Ok(());
    }
    let staging = to.with_extension("new");
    fetch::remove_tree(&staging)?;
    fetch::remove_tree(to)?;
    let output =
        Command::new("cp").arg("-a").args([from, &staging]).output().doing("copy", from)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first = complaint.lines().next().unwrap_or_default();
        return Err(Error::Failed(format!(
            "cannot copy the programs to {}: {first}",
            to.display()
        )));
    }
    fs::rename(&staging, to).doing("rename", &staging)
}
