//! No two files of a crate import each other: whoever reads one of them would have to read both.
//! Between a module and those inside it there is no rule, and none inside a `domain/`, which is one
//! vocabulary in several files.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Complaints, Tree};

/// Those that do, each with its reason: a crate, or `services` for all of them, and two modules.
const EXCEPTIONS: [(&str, &str, &str, &str); 12] = [
    ("services", "app", "events", "both doors of events are one file: what comes in is a use case"),
    ("services", "app", "watch", "a use case wakes those who watch, who read as it does"),
    ("services", "app", "worker", "the worker carries out what a use case hands over"),
    ("services", "app/place", "convert", "the stored reply of a checkout is the RPC's"),
    ("chaos", "planted", "run", "not taken apart yet"),
    ("chaos", "report", "run", "not taken apart yet"),
    ("containers", "namespace", "standin", "not taken apart yet"),
    ("load", "orders/bench", "orders/report", "not taken apart yet"),
    ("load", "orders/bench", "orders/rush", "not taken apart yet"),
    ("load", "orders/bench", "orders/steady", "not taken apart yet"),
    ("manifests", "resources", "shop", "not taken apart yet"),
    ("model", "checkout", "claims", "a claim is about the model that it is a part of"),
];

/// A module by its path below the crate: none for `lib.rs`.
type Path = Vec<String>;

/// The files of one crate, and what each imports: a path in the crate, and whether for others as well.
type Crate = BTreeMap<Path, Vec<(Path, bool)>>;

/// The rule.
pub fn no_two_files_import_each_other(tree: &Tree) -> Complaints {
    let mut crates: BTreeMap<&str, Crate> = BTreeMap::new();
    for source in tree.sources() {
        if let Some((folder, module)) = place(source.path) {
            let imports = imports(&source.shipped);
            crates.entry(folder).or_default().insert(module, imports);
        }
    }
    crates.iter().flat_map(|(folder, files)| circles(folder, files)).collect()
}

fn circles(folder: &str, files: &Crate) -> Complaints {
    let files: Crate = files
        .iter()
        .map(|(module, imports)| {
            let inside =
                |(path, public): &(Path, bool)| Some((absolute(files, module, path)?, *public));
            (module.clone(), imports.iter().filter_map(inside).collect())
        })
        .collect();
    let mut edges: BTreeSet<(&Path, &Path)> = BTreeSet::new();
    for (module, imports) in &files {
        let targets = imports.iter().filter_map(|(path, _)| file_of(&files, path, 0));
        let apart = |other: &&Path| !other.starts_with(module) && !module.starts_with(other);
        edges.extend(targets.filter(apart).map(|other| (module, other)));
    }
    let both = edges.iter().filter(|(one, other)| one < other && edges.contains(&(other, one)));
    let complaint = |(one, other): &(&Path, &Path)| {
        let in_domain = [one, other].iter().all(|it| it[0] == "domain");
        let (one, other) = (one.join("/"), other.join("/"));
        (!in_domain && !is_exception(folder, &one, &other)).then(|| {
            format!("{folder}/src: {one} and {other} import each other: move below what both need")
        })
    };
    both.filter_map(complaint).collect()
}

fn is_exception(folder: &str, one: &str, other: &str) -> bool {
    let (group, name) = folder.split_once('/').unwrap_or(("", folder));
    EXCEPTIONS
        .iter()
        .any(|(whose, a, b, _)| [group, name].contains(whose) && (*a, *b) == (one, other))
}

/// The crate's folder, and the module that the file is.
fn place(path: &str) -> Option<(&str, Path)> {
    let (folder, file) = path.split_once("/src/")?;
    let mut module: Path = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if module == ["lib"] || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    Some((folder, module))
}

/// What the lines with `use` name, as they name it. Code is formatted, so each begins a line.
fn imports(code: &str) -> Vec<(Path, bool)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].rsplit('\n').next().unwrap_or_default().trim();
        if before.is_empty() || before.starts_with("pub") {
            let statement = code[at + 4..].split(';').next().unwrap_or_default();
            let paths = taken_apart(statement).into_iter();
            found.extend(
                paths.map(|path| {
                    (path.split("::").map(str::to_owned).collect(), !before.is_empty())
                }),
            );
        }
    }
    found
}

/// `a::{b, c::d as e}` is `a::b` and `a::c::d`.
fn taken_apart(path: &str) -> Vec<String> {
    let Some((before, group)) = path.split_once('{') else {
        return vec![path.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let mut depth = 0;
    let parts = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| taken_apart(&format!("{}{part}", before.trim()))).collect()
}

/// The path from the crate's root; none for what is not of this crate.
fn absolute(files: &Crate, module: &Path, path: &Path) -> Option<Path> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len().checked_sub(supers)?], &path[supers..]].concat()),
        child => {
            let inside = [module.as_slice(), &[child.to_owned()]].concat();
            files.contains_key(&inside).then(|| [module.as_slice(), path].concat())
        }
    }
}

/// The file in which a path ends: through what others import in public, at most so deep.
fn file_of<'a>(files: &'a Crate, path: &[String], depth: u8) -> Option<&'a Path> {
    let known = (0..=path.len()).rev().find(|&end| files.contains_key(&path[..end]))?;
    let (module, imports) = files.get_key_value(&path[..known])?;
    let Some(name) = path.get(known) else { return Some(module) };
    let elsewhere = imports.iter().find(|(to, public)| {
        *public && to.last() == Some(name) && to[..to.len() - 1] != *module.as_slice()
    });
    match elsewhere.filter(|_| depth < 4) {
        Some((to, _)) => file_of(files, &[to, &path[known + 1..]].concat(), depth + 1),
        None => Some(module),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: [(&str, &str); 4]) -> usize {
        no_two_files_import_each_other(&Tree::of(files)).len()
    }

    #[test]
    fn two_files_that_import_each_other_are_found_however_they_say_it() {
        let root =
            ("libs/a/src/lib.rs", "mod b;\nmod c;\npub use b::B;\npub use c::{C, D as E};\n");
        let rest = ("libs/a/src/b/inner.rs", "use super::B;\n");
        for (b, c, complaints) in [
            ("use crate::C;\n", "use super::B;\n", 1),
            ("use crate::{\n    Other,\n    c::D,\n};\n", "use crate::b::{Some, B};\n", 1),
            ("use crate::C;\nuse inner::X;\n", "use std::fmt;\n", 0),
            ("use crate::C;\n", "#[cfg(test)]\nmod tests {\n    use crate::B;\n}\n", 0),
        ] {
            let files = [root, ("libs/a/src/b.rs", b), ("libs/a/src/c.rs", c), rest];
            assert_eq!(found(files), complaints, "{b} {c}");
        }
    }
}
