//! Dependencies point down: proto ← libs ← gateway and services ← deploy ← tests. No service
//! depends on a service: what it knows of another is in proto.

use crate::{Complaints, File, Tree};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Proto,
    Library,
    Process,
    Deployment,
    Test,
}

/// Edges that only tests have and that point up or sideways, each with its reason.
const IN_TESTS: [(&str, &str, &str); 2] = [
    ("payment", "psp", "payment is tested against the provider's simulator, over HTTP"),
    ("audit", "psp", "the auditor reads the ledger of the provider's simulator, over HTTP"),
];

/// All that the first step of `cargo souk` needs.
const FIRST_STEP: [&str; 2] = ["clap", "stores"];

/// Names that say nothing about what is in a crate.
const NAMELESS: [&str; 8] =
    ["common", "commons", "util", "utils", "shared", "helper", "helpers", "misc"];

pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    tier: Tier,
    pub(crate) manifest: &'a File,
}

pub(crate) fn packages(tree: &Tree) -> Vec<Package<'_>> {
    tree.files().filter_map(package).collect()
}

fn package(manifest: &File) -> Option<Package<'_>> {
    let folder = manifest.path.strip_suffix("/Cargo.toml")?;
    let (group, name) = folder.split_once('/').unwrap_or(("", folder));
    let tier = match (group, name) {
        ("", "proto") => Tier::Proto,
        ("libs", _) => Tier::Library,
        ("services", _) | ("", "gateway") => Tier::Process,
        ("deploy", _) => Tier::Deployment,
        ("tests", _) => Tier::Test,
        _ => return None,
    };
    Some(Package { name, tier, manifest })
}

/// One line of a manifest's dependency table.
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) for_tests: bool,
    inherited: bool,
}

/// Reads all dependency tables, `[target.….dependencies]` included.
pub(crate) fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let (mut table, mut found) = ("", Vec::new());
    for (at, line) in manifest.lines().enumerate() {
        if let Some(header) = line.trim().strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            table = header;
            continue;
        }
        let Some(key) = line.split_once('=').map(|(key, _)| key.trim()) else { continue };
        let name = key.trim_end_matches(".workspace");
        let plain = name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
        if table.ends_with("dependencies") && plain && !line.starts_with([' ', '\t']) {
            let one_of_a_kind = ["workspace=true", "path="]; // a path has no version
            let inherited = one_of_a_kind.iter().any(|word| line.replace(' ', "").contains(word));
            let for_tests = table.ends_with("dev-dependencies");
            found.push(Dependency { name, line: at + 1, for_tests, inherited });
        }
    }
    found
}

/// The rule of the tiers, and its corollaries for testkit and the provider.
pub fn point_down(tree: &Tree) -> Complaints {
    let packages = packages(tree);
    let mut complaints = Vec::new();
    for package in &packages {
        for dependency in dependencies(&package.manifest.text) {
            let target = packages.iter().find(|other| other.name == dependency.name);
            let Some(wrong) = target.and_then(|to| wrong(package, to, &dependency)) else {
                continue;
            };
            let place = format!("{}:{}", package.manifest.path, dependency.line);
            complaints.push(format!("{place}: {} → {}: {wrong}", package.name, dependency.name));
        }
    }
    complaints
}

fn wrong(from: &Package, to: &Package, edge: &Dependency) -> Option<&'static str> {
    let listed = IN_TESTS.iter().any(|(one, other, _)| (*one, *other) == (from.name, to.name));
    if from.tier == Tier::Test || (edge.for_tests && listed) {
        return None;
    }
    if from.name == "psp" {
        return Some("the provider is another company: it knows nothing of ours");
    }
    if to.name == "psp" {
        return Some("speak to the provider over HTTP, as the shop does");
    }
    if to.name == "testkit" && !edge.for_tests {
        return Some("testkit is for tests: make it a dev-dependency");
    }
    let sideways = matches!(from.tier, Tier::Library | Tier::Deployment);
    if to.tier < from.tier || (to.tier == from.tier && sideways) {
        return None;
    }
    Some(match from.tier {
        Tier::Process => "what a service knows of another is in proto: call or listen to it",
        _ => "dependencies point down; move what both need below, or turn the edge around",
    })
}

/// What is built before the machine has been checked has to be built in seconds.
pub fn the_first_step_is_small(tree: &Tree) -> Complaints {
    let Some(manifest) = tree.file("deploy/souk/Cargo.toml") else {
        return vec!["deploy/souk/Cargo.toml is missing: it is `cargo souk`".into()];
    };
    let mut complaints = Vec::new();
    for Dependency { name, line, for_tests, .. } in dependencies(&manifest.text) {
        if !for_tests && !FIRST_STEP.contains(&name) {
            complaints.push(format!(
                "{}:{line}: {name}: everybody waits for it at their first `cargo souk up`. Do it in \
                 deploy/operator",
                manifest.path
            ));
        }
    }
    if let Some(stores) = tree.file("libs/stores/Cargo.toml") {
        let heavy = dependencies(&stores.text).into_iter().filter(|edge| !edge.for_tests);
        complaints.extend(heavy.map(|Dependency { name, line, .. }| {
            format!("{}:{line}: {name}: the standard library has to do here", stores.path)
        }));
    }
    complaints
}

/// One version of everything, one set of lints, and names that say what is inside.
pub fn manifests_are_alike(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for Package { name, manifest, .. } in packages(tree) {
        let (path, text) = (&manifest.path, &manifest.text);
        if !text.contains(&format!("name = \"{name}\"")) {
            complaints.push(format!("{path}: call the package as its folder: {name}"));
        }
        if !text.replace(' ', "").contains("[lints]\nworkspace=true") {
            complaints.push(format!("{path}: add `[lints] workspace = true`"));
        }
        if NAMELESS.contains(&name) {
            complaints.push(format!("{path}: {name:?} says nothing: name it for its one thing"));
        }
        for Dependency { name, line, .. } in
            dependencies(text).iter().filter(|dependency| !dependency.inherited)
        {
            complaints.push(format!(
                "{path}:{line}: write `{name}.workspace = true`; versions are in the root's Cargo.toml"
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const CART: (&str, &str) = ("services/cart/Cargo.toml", "");
    const RPC: (&str, &str) = ("libs/rpc/Cargo.toml", "");
    const TESTKIT: (&str, &str) = ("libs/testkit/Cargo.toml", "");
    const PSP: (&str, &str) = ("deploy/psp/Cargo.toml", "");

    fn complaints(path: &str, manifest: &str) -> usize {
        point_down(&Tree::of([CART, RPC, TESTKIT, PSP, (path, manifest)])).len()
    }

    #[test]
    fn edges_that_point_up_or_sideways_are_found() {
        for (path, edge, expected) in [
            ("services/order/Cargo.toml", "[dependencies]\nrpc.workspace = true", 0),
            ("services/order/Cargo.toml", "[dependencies]\ncart.workspace = true", 1),
            ("services/order/Cargo.toml", "[dev-dependencies]\ncart = { workspace = true }", 1),
            ("services/order/Cargo.toml", "[dependencies]\ntestkit.workspace = true", 1),
            ("services/order/Cargo.toml", "[dev-dependencies]\ntestkit.workspace = true", 0),
            ("services/order/Cargo.toml", "[dev-dependencies]\npsp.workspace = true", 1),
            ("services/payment/Cargo.toml", "[dev-dependencies]\npsp.workspace = true", 0),
            ("services/payment/Cargo.toml", "[dependencies]\npsp.workspace = true", 1),
            ("gateway/Cargo.toml", "[target.'cfg(unix)'.dependencies]\ncart.workspace = true", 1),
            ("libs/cache/Cargo.toml", "[dependencies]\nrpc.workspace = true", 0),
            ("libs/cache/Cargo.toml", "[dependencies]\ncart.workspace = true", 1),
            ("proto/Cargo.toml", "[build-dependencies]\nrpc.workspace = true", 1),
            ("tests/e2e/Cargo.toml", "[dependencies]\ncart.workspace = true", 0),
        ] {
            assert_eq!(complaints(path, edge), expected, "{path}: {edge}");
        }
        let knowing =
            Tree::of([RPC, ("deploy/psp/Cargo.toml", "[dependencies]\nrpc.workspace = true")]);
        assert_eq!(point_down(&knowing).len(), 1);
    }

    #[test]
    fn a_first_step_that_grows_is_found() {
        let with = |souk: &str, stores: &str| {
            let manifests = [("deploy/souk/Cargo.toml", souk), ("libs/stores/Cargo.toml", stores)];
            the_first_step_is_small(&Tree::of(manifests)).len()
        };
        let souk = "[dependencies]\nclap.workspace = true\nstores.workspace = true";
        assert_eq!(with(souk, "[dev-dependencies]\ntempfile.workspace = true"), 0);
        assert_eq!(with(&format!("{souk}\ntokio.workspace = true"), ""), 1);
        assert_eq!(with(souk, "[dependencies]\nserde.workspace = true"), 1);
    }

    #[test]
    fn manifests_that_go_their_own_way_are_found() {
        let good = "[package]\nname = \"rpc\"\n[dependencies]\ntonic = { workspace = true }\n[lints]\nworkspace = true";
        assert!(manifests_are_alike(&Tree::of([("libs/rpc/Cargo.toml", good)])).is_empty());
        let bad = "[package]\nname = \"stuff\"\n[dependencies]\ntonic = \"0.14\"";
        assert_eq!(manifests_are_alike(&Tree::of([("libs/common/Cargo.toml", bad)])).len(), 4);
    }
}
