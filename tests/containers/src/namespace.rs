//! A place of its own for the engine: namespaces for the network, mounts and processes. What the engine
//! does to them (bridges, firewall rules, mounts, children) is gone with them, whatever happens, and the
//! machine's own engine, if there is one, is not touched.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use stores::{Home, Packages, Server};

use crate::standin;

/// Set inside.
const INSIDE: &str = "SOUK_CONTAINERS_INSIDE";
const UNSHARE: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// The engine and what it runs, as Debian and Ubuntu have it.
const ENGINE: [&str; 5] = ["docker.io", "containerd", "runc", "iptables", "iproute2"];

/// Where the run finds and puts its things.
pub(crate) struct Place {
    /// The engine's programs.
    pub(crate) packages: Packages,
    /// Removed when all is over.
    pub(crate) folder: PathBuf,
    /// The control group of all containers.
    pub(crate) cgroup: String,
}

/// Which side of the namespaces this process is on.
pub(crate) enum Entered {
    /// Neither can be: why.
    Not(String),
    /// Outside, and the inside has ended.
    Was(ExitCode),
    /// Inside.
    Inside(Place),
}

/// Runs this program again in namespaces of its own, or prepares them when it is there.
pub(crate) fn enter(home: &Home) -> Result<Entered> {
    let folder = home.path().join("containers");
    if let Some(cgroup) = env::var(INSIDE).ok().filter(|name| !name.is_empty()) {
        let packages = provide(home)?;
        let place = Place { packages, folder, cgroup };
        return Ok(match place.prepare() {
            Ok(()) => Entered::Inside(place),
            Err(error) => Entered::Not(format!("no place for an engine: {error:#}")),
        });
    }
    if let Some(reason) = missing(home) {
        return Ok(Entered::Not(reason));
    }
    remove(&folder)?; // of a run that was killed
    fs::create_dir_all(&folder)?;
    let cgroup = format!("souk-containers-{}", std::process::id());
    let inside = Command::new("unshare")
        .args(UNSHARE)
        .arg(env::current_exe()?)
        .env(INSIDE, &cgroup)
        .current_dir(home.workspace())
        .status()?;
    remove_cgroup(&cgroup);
    let code = inside.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if code == 0 {
        remove(&folder)?;
    }
    Ok(Entered::Was(ExitCode::from(code)))
}

/// Why it cannot be done here, if it cannot.
fn missing(home: &Home) -> Option<String> {
    if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
        return Some("only root on Linux can start an engine".into());
    }
    let tried = Command::new("unshare").args(UNSHARE).arg("true").stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        return Some("this machine gives no namespaces to start an engine in".into());
    }
    let stores = stores::provide(home, &Server::ALL, &|line| eprintln!("{line}"));
    let engine = provide(home).map_err(|error| format!("no engine: {error:#}"));
    let nginx = standin::nginx(home).map_err(|error| format!("no nginx: {error:#}"));
    stores.map_err(|error| error.to_string()).and(engine).and(nginx.map(drop)).err()
}

fn provide(home: &Home) -> Result<Packages> {
    Ok(Packages::provide(home, "docker", &ENGINE, &|line| eprintln!("{line}"))?)
}

impl Place {
    /// A loopback device that works, a `/run` of our own, and `iptables` under its plain name.
    fn prepare(&self) -> Result<()> {
        succeed(self.packages.command("bin/ip").args(["link", "set", "lo", "up"]))?;
        succeed(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
        let bin = self.bin();
        fs::create_dir_all(&bin)?;
        let program = self.packages.root.join("usr/sbin").join(self.firewall());
        for name in ["iptables", "ip6tables"] {
            std::os::unix::fs::symlink(&program, bin.join(name))?;
        }
        Ok(())
    }

    /// Kernels have the old interface, the new one, or both.
    fn firewall(&self) -> &'static str {
        let mut legacy = self.command("usr/sbin/iptables-legacy");
        let works = legacy.args(["-t", "nat", "-L", "-n"]).output();
        let works = works.is_ok_and(|output| output.status.success());
        if works { "xtables-legacy-multi" } else { "xtables-nft-multi" }
    }

    fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of the engine's programs, which finds the others.
    pub(crate) fn command(&self, program: &str) -> Command {
        let root = &self.packages.root;
        let folders = ["usr/sbin", "usr/bin", "sbin", "bin"].map(|folder| root.join(folder));
        let ours = [self.bin()].into_iter().chain(folders);
        let machine = env::var_os("PATH").unwrap_or_default();
        let all: Vec<PathBuf> = ours.chain(env::split_paths(&machine)).collect();
        let extensions = self.packages.libraries.iter().map(|dir| dir.join("xtables"));
        let extensions = extensions.into_iter().find(|dir| dir.is_dir()).unwrap_or_default();
        let mut command = self.packages.command(program);
        command.env("PATH", env::join_paths(all).unwrap_or(machine));
        command.env("XTABLES_LIBDIR", extensions).env("HOME", &self.folder);
        command
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The folders of the group, below each controller or (in version 2) at the top; they are empty.
fn remove_cgroup(name: &str) {
    let top = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_dir(top).into_iter().flatten().flatten();
    for folder in controllers.map(|entry| entry.path()).chain([top.to_owned()]) {
        remove_folders(&folder.join(name));
    }
}

/// Deepest first. A group that is still in use stays, and says so by being there.
fn remove_folders(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
