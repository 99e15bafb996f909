//! What the suite `browser` stands on: a Chromium, Node.js, and two packages of npm. What the machine does not
//! have is fetched into `.souk/tools`; nothing is installed.

use crate::{Result, build, validators};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stores::{Home, Packages, Progress};

/// What a Chromium is called.
const CHROMIUMS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// The distribution's packages of one, with a font.
const PACKAGES: [&str; 4] =
    ["chromium", "chromium-common", "fontconfig-config", "fonts-dejavu-core"];
/// The oldest Node.js that playwright-core runs with.
const NODE_OLDEST: u32 = 20;
/// What npm installs, and how.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// Written last, with the versions that are in it.
const READY: &str = "ready";

/// Programs that can use pages as customers do.
#[derive(Debug, Clone)]
pub struct Browser {
    node: PathBuf,
    /// The Chromium, the npm packages, and the environment of a fetched Chromium.
    environment: Vec<(&'static str, OsString)>,
}

impl Browser {
    /// Finds them, and fetches what is missing.
    ///
    /// # Errors
    /// What cannot be had, and why, in a few words.
    pub fn provide(home: &Home, progress: Progress) -> Result<Browser> {
        fs::create_dir_all(home.tools())?;
        let lock = fs::File::create(home.tools().join("browser.lock"))?;
        lock.lock()?; // another process, or our own thread, may be at it
        let mut environment =
            chromium(home, progress).map_err(|why| format!("no Chromium: {why}"))?;
        let node = Node::provide(home, progress).map_err(|why| format!("no Node.js: {why}"))?;
        let modules = npm_packages(home, &node, progress)?;
        environment.push(("SOUK_NODE_MODULES", modules.into()));
        Ok(Browser { node: node.program, environment })
    }

    /// Node.js, which finds the others in its environment: `SOUK_CHROMIUM` and `SOUK_NODE_MODULES`.
    pub fn node(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The environment in which Node.js finds a Chromium and can start it.
fn chromium(home: &Home, progress: Progress) -> Result<Vec<(&'static str, OsString)>> {
    if let Some(program) = CHROMIUMS.iter().find_map(|name| on_path(name, |_| true)) {
        return Ok(vec![("SOUK_CHROMIUM", program.into())]);
    }
    let packages = Packages::provide(home, "chromium", &PACKAGES, progress)?;
    let program = packages.root.join("usr/lib/chromium/chromium");
    let environment = vec![
        ("LD_LIBRARY_PATH", std::env::join_paths(&packages.libraries)?),
        ("FONTCONFIG_FILE", fonts(&packages.root)?.into()),
        ("SOUK_CHROMIUM", program.clone().into()),
    ];
    let mut command = Command::new(&program);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    version(&mut command).ok_or("the distribution's package cannot be run here")?;
    Ok(environment)
}

/// Where the fonts are, as fontconfig reads it.
fn fonts(root: &Path) -> Result<PathBuf> {
    let file = root.with_file_name("fonts.conf");
    let (fonts, cache) = (root.join("usr/share/fonts"), root.with_file_name("fonts-cache"));
    let text = format!(
        "<fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>\n",
        fonts.display(),
        cache.display()
    );
    fs::write(&file, text)?;
    Ok(file)
}

/// Node.js, and the command line of its npm.
struct Node {
    program: PathBuf,
    npm: Vec<PathBuf>,
}

impl Node {
    /// The machine's, if it is new enough and there is an npm; or else that of a package.
    fn provide(home: &Home, progress: Progress) -> Result<Node> {
        let node = on_path("node", |version| major(version) >= Some(NODE_OLDEST));
        if let (Some(program), Some(npm)) = (node, on_path("npm", |_| true)) {
            return Ok(Node { program, npm: vec![npm] });
        }
        let root = validators::provide_node(home, progress)?;
        let (program, npm) =
            (root.join("bin/node"), root.join("lib/node_modules/npm/bin/npm-cli.js"));
        Ok(Node { npm: vec![program.clone(), npm], program })
    }

    fn npm(&self) -> Command {
        let mut command = Command::new(&self.npm[0]);
        command.args(&self.npm[1..]);
        command
    }
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The folder with the packages of `tests/browser`, in the versions of its lock file.
fn npm_packages(home: &Home, node: &Node, progress: Progress) -> Result<PathBuf> {
    let (from, folder) = (home.workspace().join("tests/browser"), home.tools().join("browser"));
    let (modules, ready) = (folder.join("node_modules"), folder.join(READY));
    let wanted = fs::read(from.join("package-lock.json"))?;
    if fs::read(&ready).is_ok_and(|have| have == wanted) {
        return Ok(modules);
    }
    progress("playwright-core and axe-core (15 MB)");
    fs::create_dir_all(&folder)?;
    for file in NPM_FILES {
        fs::copy(from.join(file), folder.join(file))?;
    }
    let mut npm = node.npm();
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
    let output = npm.current_dir(&folder).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    build::succeeded(output.status, said.lines().next().unwrap_or("npm ci"))?;
    fs::write(ready, wanted)?;
    Ok(modules)
}

/// A program of the machine that can be run, and whose `--version` is as it should be.
fn on_path(name: &str, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").filter(|_| !stores::machine_hidden())?;
    let programs = std::env::split_paths(&path).map(|folder| folder.join(name));
    let mut programs = programs.filter(|program| program.is_file());
    programs.find(|program| version(&mut Command::new(program)).is_some_and(|it| fits(&it)))
}

fn version(program: &mut Command) -> Option<String> {
    let output = program.arg("--version").stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        for (said, version) in [("v20.20.2\n", Some(20)), ("v9.1.0", Some(9)), ("node", None)] {
            assert_eq!(major(said), version, "{said}");
        }
    }
}
