//! `cargo souk sqlx`: the metadata of every query (`.sqlx`), written or checked against a
//! PostgreSQL that is started for this alone, with the migrations of this checkout.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use souk::style::{bold, dim, green};
use stores::{Home, Options, Psql, Stores, Tools};

use crate::secrets::random_hex;
use crate::speak::say;

/// The crates with queries. `database` names no table, so it shares the database (and the variable)
/// of `messaging`.
const CRATES: [(&str, &str, &str); 7] = [
    ("database", "libs/database", "messaging"),
    ("messaging", "libs/messaging", "messaging"),
    ("product", "services/product", "product"),
    ("user", "services/user", "user"),
    ("cart", "services/cart", "cart"),
    ("order", "services/order", "order"),
    ("payment", "services/payment", "payment"),
];

/// Stands before every compiler: the macros write what they learn into a folder for each crate.
const WRAPPER: &str = "#!/bin/sh\nSQLX_OFFLINE_DIR=\"${0%/*}/$CARGO_PKG_NAME\" exec \"$@\"\n";

/// The whole verb.
///
/// # Errors
/// When a query does not fit the migrations, or (with `check`) something is out of date.
pub fn run(home: &Home, check: bool) -> Result<()> {
    let folder = home.path().join("sqlx");
    let stores = Stores::start(&folder.join("stores"), &Tools::find(home), &Options::default())?;
    let outcome = all(home, &folder, &stores, check);
    let stopped = stores.stop();
    Stores::wipe(&folder.join("stores"))?;
    fs::remove_dir_all(&folder)?;
    let stale = outcome?;
    stopped?;
    if stale.is_empty() {
        say!("{}", green(if check { "all of .sqlx is up to date" } else { "wrote .sqlx" }));
        return Ok(());
    }
    stale.iter().for_each(|line| say!("  {line}"));
    bail!("{} files are out of date; write them anew with: cargo souk sqlx", stale.len());
}

/// What is out of date, when that is asked; otherwise it is written.
fn all(home: &Home, folder: &Path, stores: &Stores, check: bool) -> Result<Vec<String>> {
    let urls = databases(home, stores)?;
    let learnt = folder.join(random_hex());
    learn(home, &urls, &learnt)?;
    let mut stale = Vec::new();
    for (package, path, _) in CRATES {
        say!("{} {}", bold(package), dim(path));
        let committed = home.workspace().join(path).join(".sqlx");
        let (expected, found) = (files(&learnt.join(package))?, files(&committed)?);
        if check {
            stale.extend(differences(path, &expected, &found));
        } else {
            replace(&committed, &expected)?;
        }
    }
    Ok(stale)
}

type Urls = BTreeMap<&'static str, String>;

/// A database for each context, with its migrations.
fn databases(home: &Home, stores: &Stores) -> Result<Urls> {
    let psql = Psql::of(&Tools::find(home)).context("no psql on this machine")?;
    let mut urls = BTreeMap::new();
    for (package, path, context) in CRATES {
        if package == "database" {
            continue;
        }
        let url = stores.create_database(&format!("sqlx_{context}"), "sqlx", "sqlx")?;
        psql.run(&url, "drop owned by current_user cascade;")?; // of a run that was killed
        if package == "messaging" {
            psql.run(&url, "create schema messaging;")?;
        }
        for migration in migrations(&home.workspace().join(path).join("migrations"))? {
            let sql = fs::read_to_string(&migration)?;
            psql.run(&url, &sql).with_context(|| migration.display().to_string())?;
        }
        urls.insert(context, url);
    }
    Ok(urls)
}

fn migrations(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    Ok(files)
}

/// Checks the crates of the workspace, each against its database. For a wrapper that it has never
/// seen cargo compiles all of them again, and none of what they depend on.
fn learn(home: &Home, urls: &Urls, learnt: &Path) -> Result<()> {
    for (package, ..) in CRATES {
        fs::create_dir_all(learnt.join(package))?;
    }
    let wrapper = learnt.join("rustc");
    fs::write(&wrapper, WRAPPER)?;
    fs::set_permissions(&wrapper, Permissions::from_mode(0o755))?;
    let mut cargo = souk::build::cargo(home).map_err(|error| anyhow!("{error}"))?;
    cargo.envs(urls.iter().map(|(context, url)| (variable(context), url)));
    cargo.env_remove("SQLX_OFFLINE").env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    cargo.args(["check", "--workspace", "--lib", "--quiet"]);
    ensure!(cargo.status()?.success(), "a query does not fit the migrations");
    Ok(())
}

fn variable(context: &str) -> String {
    format!("{}_DATABASE_URL", context.to_uppercase())
}

type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Result<Files> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Files::new()) };
    let read = |entry: fs::DirEntry| {
        Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
    };
    entries.flatten().map(read).collect()
}

fn differences(path: &str, expected: &Files, found: &Files) -> Vec<String> {
    let missing = expected.iter().filter_map(|(name, content)| match found.get(name) {
        None => Some(format!("missing  {path}/.sqlx/{name}")),
        Some(there) if there != content => Some(format!("changed  {path}/.sqlx/{name}")),
        Some(_) => None,
    });
    let unused = found.keys().filter(|name| !expected.contains_key(*name));
    missing.chain(unused.map(|name| format!("unused   {path}/.sqlx/{name}"))).collect()
}

fn replace(folder: &Path, expected: &Files) -> Result<()> {
    fs::create_dir_all(folder)?;
    for name in files(folder)?.keys().filter(|name| !expected.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, content) in expected {
        fs::write(folder.join(name), content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[(&str, &str)]) -> Files {
        names.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn missing_changed_and_unused_files_are_told_apart() {
        let expected = set(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let found = set(&[("a", "1"), ("b", "other"), ("d", "4")]);
        let lines = differences("services/order", &expected, &found);
        let at = |name: &str| format!("services/order/.sqlx/{name}");
        let told = [("changed ", "b"), ("missing ", "c"), ("unused  ", "d")];
        assert_eq!(lines, told.map(|(what, name)| format!("{what} {}", at(name))));
        assert!(differences("x", &expected, &expected).is_empty());
    }

    #[test]
    fn writing_leaves_exactly_what_is_expected() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".sqlx");
        replace(&path, &set(&[("a", "1"), ("b", "2")])).expect("written");
        let next = set(&[("b", "3"), ("c", "4")]);
        replace(&path, &next).expect("written");
        assert_eq!(files(&path).expect("legible"), next);
    }
}
