//! Finding the programs: the machine's own first, then what was fetched, then Homebrew's.

use crate::{Home, process};
use std::fmt;
use std::path::{Path, PathBuf};

/// When this variable is set (and not `0`), the machine's own programs are not looked at. It is how a
/// test, or a person with an old PostgreSQL, gets the fetched ones.
pub const HIDE_VARIABLE: &str = "SOUK_HIDE_SYSTEM_TOOLS";

/// Whether [`HIDE_VARIABLE`] asks to leave the machine's own programs alone.
pub fn machine_hidden() -> bool {
    std::env::var_os(HIDE_VARIABLE).is_some_and(|value| !value.is_empty() && value != "0")
}

/// When this variable names a program, it is the nats-server, and no other is looked for: how the shop
/// is tried with another version.
pub const NATS_VARIABLE: &str = "SOUK_NATS_SERVER";

/// The program of [`NATS_VARIABLE`].
pub(crate) fn named_nats() -> Option<PathBuf> {
    let named = std::env::var_os(NATS_VARIABLE).filter(|value| !value.is_empty())?;
    std::path::absolute(named).ok()
}

/// One of the three servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Server {
    /// PostgreSQL 15 or newer.
    Postgres,
    /// Redis 6 or newer, or Valkey.
    Redis,
    /// nats-server 2.9.10 or newer, with JetStream.
    Nats,
}

impl Server {
    /// All three, in the order in which they are started.
    pub const ALL: [Server; 3] = [Server::Postgres, Server::Redis, Server::Nats];

    /// `postgres`, `redis` or `nats`: the name of its folder, log file and flag.
    pub fn key(self) -> &'static str {
        match self {
            Server::Postgres => "postgres",
            Server::Redis => "redis",
            Server::Nats => "nats",
        }
    }

    /// The oldest version that the shop is tried with. Debian 12 ships 15, 7.0 and 2.9.10. Redis has rights to read a key
    /// and not to write it since 7.0.
    fn oldest(self) -> [u32; 3] {
        match self {
            Server::Postgres => [15, 0, 0],
            Server::Redis => [7, 0, 0],
            Server::Nats => [2, 9, 10],
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Postgres => "PostgreSQL",
            Server::Redis => "Redis",
            Server::Nats => "NATS",
        })
    }
}

/// Where a program was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// On this machine: `PATH`, or `/usr/lib/postgresql`.
    Machine,
    /// In `.souk/tools`.
    Fetched,
    /// In a Homebrew prefix.
    Homebrew,
    /// Named by [`NATS_VARIABLE`].
    Named,
}

/// A server program that was run once with `--version` and is new enough.
#[derive(Debug, Clone)]
pub struct Program {
    /// The executable. For PostgreSQL it is `postgres`; `initdb` and `psql` are beside it.
    pub path: PathBuf,
    /// As the program tells it, for example `15.16`.
    pub version: String,
    /// Where it was found.
    pub source: Source,
    /// Folders of shared libraries that it needs (`LD_LIBRARY_PATH`); empty unless it was fetched.
    pub libraries: Vec<PathBuf>,
}

impl Program {
    /// A program in the same folder, for example `initdb` beside `postgres`.
    pub fn sibling(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

/// The programs that were found, and those that were found but cannot be used.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// PostgreSQL, with `initdb` and `psql` beside it.
    pub postgres: Option<Program>,
    /// `redis-server` or `valkey-server`.
    pub redis: Option<Program>,
    /// `nats-server`.
    pub nats: Option<Program>,
    /// One line for each program that was passed over, with the reason.
    pub rejected: Vec<String>,
}

impl Tools {
    /// Looks on the machine (unless [`machine_hidden`]), in `.souk/tools`, and in Homebrew's prefixes.
    pub fn find(home: &Home) -> Tools {
        Tools::find_in(home, !machine_hidden())
    }

    /// As [`Tools::find`]; `machine` says whether the machine's own programs count.
    pub fn find_in(home: &Home, machine: bool) -> Tools {
        Tools::find_with(home, machine, named_nats())
    }

    /// As [`Tools::find_in`], with the program that [`NATS_VARIABLE`] would name.
    pub fn find_with(home: &Home, machine: bool, nats: Option<PathBuf>) -> Tools {
        let mut found = Tools::default();
        for server in Server::ALL {
            let named = nats.clone().filter(|_| server == Server::Nats);
            let candidates = match named {
                Some(program) => vec![(program, Source::Named)],
                None => candidates(server, home, machine),
            };
            let program = candidates
                .into_iter()
                .find_map(|(path, source)| found.examine(server, path, source, home));
            *found.slot(server) = program;
        }
        found
    }

    /// The program of one server.
    pub fn get(&self, server: Server) -> Option<&Program> {
        match server {
            Server::Postgres => self.postgres.as_ref(),
            Server::Redis => self.redis.as_ref(),
            Server::Nats => self.nats.as_ref(),
        }
    }

    /// Those of `needed` that were not found.
    pub fn missing(&self, needed: &[Server]) -> Vec<Server> {
        needed.iter().copied().filter(|server| self.get(*server).is_none()).collect()
    }

    fn slot(&mut self, server: Server) -> &mut Option<Program> {
        match server {
            Server::Postgres => &mut self.postgres,
            Server::Redis => &mut self.redis,
            Server::Nats => &mut self.nats,
        }
    }

    fn examine(
        &mut self,
        server: Server,
        path: PathBuf,
        source: Source,
        home: &Home,
    ) -> Option<Program> {
        // A link such as /usr/local/bin/postgres hides where initdb and the share folder are. Redis must
        // keep its name: in Debian it is a link to redis-check-rdb, which goes by the name it is called.
        let path = if server == Server::Postgres { path.canonicalize().ok()? } else { path };
        let fetched = source == Source::Fetched;
        let libraries =
            if fetched { library_folders(&home.tools().join("root")) } else { Vec::new() };
        match check(server, &path, &libraries) {
            Ok(version) => Some(Program { path, version, source, libraries }),
            Err(reason) => {
                self.rejected.push(format!("{}: {reason}", path.display()));
                None
            }
        }
    }
}

/// What a person can do when `missing` cannot be found; `why` says what was tried last.
pub fn ways_out(missing: &[Server], why: &str) -> String {
    let names = missing.iter().map(Server::to_string).collect::<Vec<_>>().join(", ");
    let flags = missing
        .iter()
        .map(|server| format!("--{}-url URL", server.key()))
        .collect::<Vec<_>>()
        .join(" ");
    format!(
        "missing: {names} ({why})\n\
         ways out:\n\
         \x20 use servers that already run:   cargo souk up {flags}\n\
         \x20 install with the system's tool: cargo souk up --system\n\
         \x20 no network here:                copy .souk/tools from a machine with the same distribution, \
         where cargo souk fetch made it\n\
         \x20 in containers:                  docker compose up"
    )
}

fn candidates(server: Server, home: &Home, machine: bool) -> Vec<(PathBuf, Source)> {
    let names: &[&str] = match server {
        Server::Postgres => &["postgres"],
        Server::Redis => &["redis-server", "valkey-server"],
        Server::Nats => &["nats-server"],
    };
    let mut folders = Vec::new();
    if machine {
        folders.extend(search_path().into_iter().map(|dir| (dir, Source::Machine)));
        folders.extend(postgres_folders(Path::new("/usr")).map(|dir| (dir, Source::Machine)));
    }
    let root = home.tools().join("root/usr");
    folders.extend(postgres_folders(&root).map(|dir| (dir, Source::Fetched)));
    folders.extend(["bin", "sbin"].map(|bin| (root.join(bin), Source::Fetched)));
    if machine {
        folders.extend(homebrew_folders().into_iter().map(|dir| (dir, Source::Homebrew)));
    }
    let programs =
        folders.iter().flat_map(|(dir, source)| names.iter().map(|name| (dir.join(name), *source)));
    programs.filter(|(path, _)| path.is_file()).collect()
}

/// `PATH`, and the folders that a user's `PATH` often lacks.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(usual).collect()
}

/// `<prefix>/lib/postgresql/<version>/bin`, newest first: where Debian keeps the servers.
fn postgres_folders(prefix: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(prefix.join("lib/postgresql"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder.join("bin"))
}

/// Homebrew keeps PostgreSQL out of `PATH` (it is "keg-only"), so its folders are looked at by name.
fn homebrew_folders() -> Vec<PathBuf> {
    let prefixes = ["/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew"].map(PathBuf::from);
    let mut folders = Vec::new();
    for prefix in prefixes.iter().filter(|prefix| prefix.join("Cellar").is_dir()) {
        let kegs = std::fs::read_dir(prefix.join("opt")).into_iter().flatten().flatten();
        let wanted =
            |name: &str| name.starts_with("postgresql") || name == "redis" || name == "nats-server";
        let mut named: Vec<_> = kegs
            .filter(|keg| keg.file_name().to_str().is_some_and(wanted))
            .map(|keg| keg.path())
            .collect();
        named.sort();
        folders.extend(named.into_iter().rev().map(|keg| keg.join("bin")));
        folders.push(prefix.join("bin"));
    }
    folders
}

/// Every folder of an unpacked tree that holds shared libraries.
pub(crate) fn library_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["usr/lib", "lib", "usr/lib64"].map(|lib| root.join(lib)) {
        let inner =
            std::fs::read_dir(&lib).into_iter().flatten().flatten().map(|entry| entry.path());
        folders.extend(
            inner.filter(|dir| dir.is_dir()).chain([lib.clone()]).filter(|dir| has_library(dir)),
        );
    }
    folders
}

fn has_library(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_str().is_some_and(|name| name.contains(".so")))
}

/// Runs the program with `--version`; the version, or why it cannot be used.
pub(crate) fn check(server: Server, path: &Path, libraries: &[PathBuf]) -> Result<String, String> {
    if server == Server::Postgres {
        for name in ["initdb", "psql"] {
            let sibling = path.with_file_name(name);
            if !sibling.is_file() {
                return Err(format!("has no {name} beside it"));
            }
            version_of(&sibling, libraries)?;
        }
    }
    let version = version_of(path, libraries)?;
    if numbers(&version) < server.oldest() {
        let [major, minor, patch] = server.oldest();
        return Err(format!("version {version} is older than {major}.{minor}.{patch}"));
    }
    Ok(version)
}

fn version_of(path: &Path, libraries: &[PathBuf]) -> Result<String, String> {
    let output = process::command(path, libraries, None)
        .arg("--version")
        .output()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match parse_version(&text) {
        Some(version) if output.status.success() => Ok(version),
        _ => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(format!("cannot be run: {}", complaint.lines().next().unwrap_or("no version")))
        }
    }
}

/// The first word that looks like a version: `v2.9.10`, `v=7.0.15`, `15.16`, `18beta1`.
fn parse_version(text: &str) -> Option<String> {
    let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    let word =
        text.split_whitespace().map(|word| word.trim_start_matches(['v', '='])).find(is_version)?;
    Some(word.to_owned())
}

fn numbers(version: &str) -> [u32; 3] {
    let mut parts =
        version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_programs_tell_them() {
        let read = |text: &str| parse_version(text).map(|version| numbers(&version));
        assert_eq!(read("postgres (PostgreSQL) 15.16 (Debian 15.16-0+deb12u1)"), Some([15, 16, 0]));
        assert_eq!(read("postgres (PostgreSQL) 18beta1"), Some([18, 0, 0]));
        assert_eq!(
            read("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"),
            Some([7, 0, 15])
        );
        assert_eq!(read("nats-server: v2.9.10"), Some([2, 9, 10]));
        assert_eq!(read("Usage: something else"), None);
    }

    #[test]
    fn a_folder_without_initdb_is_no_postgresql() {
        let reason =
            check(Server::Postgres, Path::new("/bin/sh"), &[]).expect_err("sh is no server");
        assert_eq!(reason, "has no initdb beside it");
    }

    #[test]
    fn the_message_names_what_is_missing_and_the_ways_out() {
        let text = ways_out(&[Server::Redis, Server::Nats], "no network");
        assert!(text.starts_with("missing: Redis, NATS (no network)"), "{text}");
        assert!(text.contains("--redis-url URL --nats-url URL"), "{text}");
        assert!(text.contains("docker compose up"), "{text}");
    }
}
