//! No manifest names a crate that nothing uses: everybody waits for it to be built.

use crate::dependencies::{Dependency, Package, dependencies, packages};
use crate::{Complaints, Source, Tree};

/// Crates that are needed although no file of the package names them, each with its reason.
const UNNAMED: [(&str, &str, &str); 2] = [
    ("proto", "tonic-prost", "named by the generated code"),
    ("crashes", "crash", "its feature is turned on, for all services"),
];

/// Crates that are not called as their package is.
const OTHERWISE: [(&str, &str); 1] = [("rustls-webpki", "webpki")];

/// What a package depends on is named in its code: outside of tests, unless it is a dev-dependency.
pub fn every_dependency_is_used(tree: &Tree) -> Complaints {
    let sources = tree.sources();
    let mut complaints = Vec::new();
    for Package { name, manifest, .. } in packages(tree) {
        let folder = manifest.path.trim_end_matches("Cargo.toml");
        let own: Vec<_> = sources.iter().filter(|it| it.path.starts_with(folder)).collect();
        for Dependency { name: wanted, line, for_tests, .. } in dependencies(&manifest.text) {
            let listed = UNNAMED.iter().any(|(one, other, _)| (*one, *other) == (name, wanted));
            let uses =
                |it: &&Source| names(if for_tests { &it.tests } else { &it.shipped }, wanted);
            if !listed && !own.iter().any(uses) {
                let place = if for_tests { "test" } else { "file outside of the tests" };
                complaints.push(format!("{}:{line}: {wanted}: no {place} uses it", manifest.path));
            }
        }
    }
    complaints
}

/// What the workspace has a version of, some package depends on.
pub fn every_version_is_used(tree: &Tree) -> Complaints {
    let Some(root) = tree.file("Cargo.toml") else { return vec!["Cargo.toml is missing".into()] };
    let packages = packages(tree);
    let used = |wanted: &str| {
        packages.iter().any(|it| dependencies(&it.manifest.text).iter().any(|it| it.name == wanted))
    };
    let unused = dependencies(&root.text).into_iter().filter(|it| !used(it.name));
    unused.map(|it| format!("Cargo.toml:{}: {}: no package uses it", it.line, it.name)).collect()
}

/// Whether the code has a path that begins with the crate.
fn names(code: &str, wanted: &str) -> bool {
    let otherwise = OTHERWISE.iter().find(|(package, _)| *package == wanted);
    let wanted = otherwise.map_or(wanted, |(_, name)| name).replace('-', "_");
    code.match_indices(&wanted).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + wanted.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || "_.:".contains(c));
        let whole = before.ends_with("use ") && after.starts_with([';', ' ']);
        begins && (after.starts_with("::") || whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_uses_is_found() {
        let with = |manifest: &str, code: &str| {
            let files = [("libs/rpc/Cargo.toml", manifest), ("libs/rpc/src/lib.rs", code)];
            every_dependency_is_used(&Tree::of(files)).len()
        };
        let (tonic, tests) =
            ("[dependencies]\ntonic-types.workspace = true", "#[cfg(test)]\nmod tests {");
        assert_eq!(with(tonic, "use tonic_types::Status;"), 0);
        assert_eq!(with(tonic, "fn f() { tonic_types::f() }"), 0);
        assert_eq!(with(tonic, "use my_tonic_types::f; // tonic_types::f\nfn tonic_types() {}"), 1);
        assert_eq!(with(tonic, &format!("{tests} use tonic_types::Status; }}")), 1);
        let dev = tonic.replace("dependencies", "dev-dependencies");
        assert_eq!(with(&dev, &format!("{tests} use tonic_types::Status; }}")), 0);
        assert_eq!(with(&dev, "use tonic_types::Status;"), 1);
    }

    #[test]
    fn a_version_that_nothing_uses_is_found() {
        let root = "[workspace.dependencies]\nurl = \"2\"\nbytes = \"1\"";
        let member = ("libs/rpc/Cargo.toml", "[dependencies]\nbytes.workspace = true");
        assert_eq!(every_version_is_used(&Tree::of([("Cargo.toml", root), member])).len(), 1);
    }
}
