//! `apt-get` as an ordinary user: the machine's signed sources and keyrings, but lists, cache and
//! state in a folder of our own, and none of the machine's hooks.

use crate::error::Doing;
use crate::{Error, Progress, Result, Server, network};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

/// The C runtime comes from the machine: it must match the machine's loader, and apt itself needs it.
const RUNTIME: [&str; 3] = ["libc6", "libgcc-s1", "libstdc++6"];

/// What the stores' programs may be in.
const STORES: [&str; 4] = ["postgresql", "redis-server", "valkey-server", "nats-server"];

/// PostgreSQL loads LLVM only for its JIT, which the shop's queries are too short for (24 MB saved).
const UNUSED: &str = "libllvm";

/// Private use of apt, in `<tools>/apt`.
pub(crate) struct Apt {
    folder: PathBuf,
    config: PathBuf,
}

impl Apt {
    /// Checks that apt is there and that a mirror can be reached, and writes the private configuration.
    pub(crate) fn prepare(tools: &Path) -> Result<Apt> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            match Command::new(program).arg("--version").stdout(Stdio::null()).status() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Missing(format!(
                        "no {program} on this machine to fetch packages with"
                    )));
                }
                Err(error) => return Err(error).doing("run", Path::new(program)),
            }
        }
        let folder = tools.join("apt");
        for inner in ["state/lists/partial", "cache/archives/partial", "debs"] {
            crate::place::make_dir(&folder.join(inner), 0o755)?;
        }
        let apt = Apt { config: folder.join("apt.conf"), folder };
        fs::write(&apt.config, apt.configuration()).doing("write", &apt.config)?;
        match apt.sites().and_then(|sites| network::reach_any(&sites)) {
            Ok(()) => Ok(apt),
            Err(error) => apt.clean().and(Err(error)),
        }
    }

    /// Signatures are checked as ever. The hooks go because the machine's may touch its own caches, and
    /// the sandbox user goes because it could not write into a home folder.
    fn configuration(&self) -> String {
        format!(
            "Dir::State \"{0}/state\";\n\
             Dir::State::status \"/var/lib/dpkg/status\";\n\
             Dir::Cache \"{0}/cache\";\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"2\";\n\
             Acquire::http::Timeout \"15\";\n\
             Acquire::https::Timeout \"15\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n\
             #clear APT::Update::Pre-Invoke;\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n",
            self.folder.display()
        )
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// The addresses of the package sources: lines such as `'http://mirror/dists/x/InRelease' mirror_x 0`.
    fn sites(&self) -> Result<BTreeSet<String>> {
        let mut command = self.command("apt-get");
        let output = read(command.args(["update", "--print-uris"]))?;
        let address = |line: &str| Some(line.strip_prefix('\'')?.split_once('\'')?.0.to_owned());
        Ok(output.lines().filter_map(address).collect())
    }

    /// Fetches the package lists. A source that fails is no error here: it may not be one we need.
    /// Its last complaint is returned, in case a package is not found then.
    pub(crate) fn update(&self, progress: Progress) -> Result<Option<String>> {
        progress("package lists");
        let mut command = self.command("apt-get");
        let item = |text: &str| progress(&format!("package lists: {text}"));
        let (_, complaint) = follow(command.arg("update"), item)?;
        Ok(complaint)
    }

    /// The packages to unpack for these servers.
    pub(crate) fn packages_for(
        &self,
        servers: &[Server],
        complaint: Option<&str>,
    ) -> Result<Vec<String>> {
        let depends = self.dependencies(&STORES)?;
        let mut packages = BTreeSet::new();
        for server in servers {
            let roots = roots_of(*server, &depends);
            let roots = roots.ok_or_else(|| no_package(&format!("of {server}"), complaint))?;
            closure(roots, &depends, &mut packages);
        }
        Ok(packages.into_iter().collect())
    }

    /// These packages, and the shared libraries that they need.
    pub(crate) fn with_libraries(
        &self,
        names: &[&str],
        complaint: Option<&str>,
    ) -> Result<Vec<String>> {
        let depends = self.dependencies(names)?;
        let unknown = names.iter().find(|name| !depends.contains_key(**name));
        if let Some(name) = unknown {
            return Err(no_package(name, complaint));
        }
        let mut packages = BTreeSet::new();
        closure(names.iter().map(ToString::to_string).collect(), &depends, &mut packages);
        Ok(packages.into_iter().collect())
    }

    fn dependencies(&self, roots: &[&str]) -> Result<BTreeMap<String, Vec<String>>> {
        let mut command = self.command("apt-cache");
        let hidden = ["suggests", "recommends", "conflicts", "breaks", "replaces", "enhances"];
        command.args(["depends", "--recurse"]).args(hidden.map(|kind| format!("--no-{kind}")));
        command.args(roots);
        let output = command.output().doing("run", Path::new("apt-cache"))?;
        Ok(parse_depends(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Downloads the packages; apt checks them against the signed lists.
    pub(crate) fn download(&self, packages: &[String], progress: Progress) -> Result<()> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(self.folder.join("debs"));
        let (mut done, total) = (0, packages.len());
        let (success, complaint) = follow(&mut command, |line| {
            done += 1;
            progress(&format!("package {}/{total}: {line}", done.min(total)));
        })?;
        let why = || Error::Missing(format!("apt-get download: {}", complaint.unwrap_or_default()));
        if success { Ok(()) } else { Err(why()) }
    }

    /// What was downloaded.
    pub(crate) fn archives(&self) -> Result<Vec<PathBuf>> {
        let debs = self.folder.join("debs");
        let entries = fs::read_dir(&debs).doing("read", &debs)?;
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths.filter(|path| path.extension().is_some_and(|ext| ext == "deb")).collect())
    }

    /// Lists and archives are of no use once unpacked (90 MB).
    pub(crate) fn clean(self) -> Result<()> {
        crate::fetch::remove_tree(&self.folder)
    }
}

fn no_package(which: &str, complaint: Option<&str>) -> Error {
    let heard = complaint.map_or(String::new(), |text| format!("; apt-get update: {text}"));
    Error::Missing(format!("no package {which} in the machine's package sources{heard}"))
}

fn read(command: &mut Command) -> Result<String> {
    let output = command.output().doing("run", Path::new(command.get_program()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs apt and reports each item that it gets; tells whether it succeeded, and its last complaint.
fn follow(command: &mut Command, mut item: impl FnMut(&str)) -> Result<(bool, Option<String>)> {
    let program = PathBuf::from(command.get_program());
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().doing("run", &program)?;
    let stderr = child.stderr.take();
    let complaints =
        std::thread::spawn(move || stderr.map(io::read_to_string).and_then(io::Result::ok));
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        if let Some(text) = line.ok().as_deref().and_then(describe) {
            item(&text);
        }
    }
    let status = child.wait().doing("wait for", &program)?;
    let complaints = complaints.join().ok().flatten().unwrap_or_default();
    let last = complaints.lines().rfind(|line| line.starts_with("E:") || line.starts_with("W:"));
    Ok((status.success(), last.map(str::to_owned)))
}

/// `Get:3 http://mirror/debian bookworm/main amd64 libpq5 amd64 15.16 [192 kB]` → `libpq5 [192 kB]`.
fn describe(line: &str) -> Option<String> {
    let (head, size) = line.strip_prefix("Get:")?.rsplit_once('[')?;
    let words: Vec<&str> = head.split_whitespace().collect();
    let what = match words.as_slice() {
        [_, _, _, _, package, _, _] => package,
        [_, _, suite, ..] => suite,
        _ => return None,
    };
    Some(format!("{what} [{size}"))
}

/// Package → what it depends on, first alternative only. Blocks of `apt-cache depends --recurse`.
fn parse_depends(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut package = String::new();
    let (mut alternative, mut choose_provider) = (false, false);
    for line in text.lines() {
        let (first_of_several, body) = match line.strip_prefix(" |") {
            Some(body) => (true, body),
            None => (false, line.trim_start()),
        };
        let indent = line.len() - line.trim_start().len();
        if indent == 0 {
            package = line.to_owned();
            map.entry(package.clone()).or_default();
        } else if let Some((_, target)) = body.split_once("epends: ") {
            if !alternative {
                choose_provider = target.starts_with('<');
                map.entry(package.clone()).or_default().push(target.to_owned());
            }
            alternative = first_of_several;
        } else if std::mem::take(&mut choose_provider) {
            map.entry(package.clone()).or_default().push(body.to_owned());
        }
    }
    map
}

fn roots_of(server: Server, depends: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    let pair = |name: &str, second: &str| {
        let has = depends.get(name).is_some_and(|needs| !needs.is_empty());
        has.then(|| vec![name.to_owned(), second.to_owned()])
    };
    match server {
        Server::Postgres => {
            let server =
                depends.get("postgresql")?.iter().find(|name| name.starts_with("postgresql-"))?;
            pair(server, &server.replace("postgresql-", "postgresql-client-"))
        }
        Server::Redis => {
            pair("redis-server", "redis-tools").or_else(|| pair("valkey-server", "valkey-tools"))
        }
        Server::Nats => {
            let known = depends.get("nats-server").is_some_and(|needs| !needs.is_empty());
            known.then(|| vec!["nats-server".to_owned()])
        }
    }
}

/// The roots and, from there on, shared libraries only: no Perl, no service scripts, no user database. And
/// Python, whose packages lead to that of the version which the distribution has.
fn closure(
    roots: Vec<String>,
    depends: &BTreeMap<String, Vec<String>>,
    into: &mut BTreeSet<String>,
) {
    let mut frontier = roots;
    while let Some(package) = frontier.pop() {
        if into.insert(package.clone()) {
            let needs = depends.get(&package).into_iter().flatten();
            frontier.extend(needs.filter(|name| is_library(name)).cloned());
        }
    }
}

fn is_library(package: &str) -> bool {
    (package.starts_with("lib") || package == "zlib1g" || package.starts_with("python3."))
        && !RUNTIME.contains(&package)
        && !package.starts_with(UNUSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDS: &str = "\
postgresql
  Depends: postgresql-15
postgresql-15
 |Depends: locales
  Depends: locales-all
  Depends: libllvm14
  Depends: libpq5
  Depends: libsystemd0
    libelogind0
  Depends: <libvirtual>
    libprovider1
    libprovider2
  PreDepends: libc6
libpq5
  Depends: libssl3
  Depends: postgresql-15
libssl3
  Depends: libc6
";

    #[test]
    fn only_libraries_are_followed_and_only_once() {
        let depends = parse_depends(DEPENDS);
        let roots = roots_of(Server::Postgres, &depends).expect("postgresql is in the lists");
        let mut packages = BTreeSet::new();
        closure(roots, &depends, &mut packages);
        let names: Vec<_> = packages.iter().map(String::as_str).collect();
        let expected = [
            "libpq5",
            "libprovider1",
            "libssl3",
            "libsystemd0",
            "postgresql-15",
            "postgresql-client-15",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn python_is_followed_to_its_version() {
        let depends = "python3-minimal\n  PreDepends: python3.11-minimal\n  Depends: dpkg\n";
        let mut packages = BTreeSet::new();
        closure(vec!["python3-minimal".into()], &parse_depends(depends), &mut packages);
        let names: Vec<_> = packages.iter().map(String::as_str).collect();
        assert_eq!(names, ["python3-minimal", "python3.11-minimal"]);
    }

    #[test]
    fn a_server_without_a_package_is_none() {
        assert_eq!(roots_of(Server::Nats, &parse_depends(DEPENDS)), None);
    }

    #[test]
    fn progress_names_package_and_size() {
        let line =
            "Get:3 http://deb.debian.org/debian bookworm/main amd64 libpq5 amd64 15.16-0 [192 kB]";
        assert_eq!(describe(line).as_deref(), Some("libpq5 [192 kB]"));
        let list = "Get:4 http://deb.debian.org/debian bookworm/main amd64 Packages [8790 kB]";
        assert_eq!(describe(list).as_deref(), Some("bookworm/main [8790 kB]"));
        assert_eq!(describe("Reading package lists..."), None);
    }
}
