//! Crash points are for tests: no program that anybody runs has them.

use crate::{Complaints, Tree};

/// Who may turn the feature on, and how: the crate that has it, and the test that needs it.
const MANIFESTS: [&str; 2] = ["libs/crash/Cargo.toml", "tests/crashes/Cargo.toml"];

/// The suite that builds that test.
const SUITE: &str = "deploy/souk/src/suites.rs";

/// Where programs are built, or told what to do.
const BUILDS: [&str; 6] =
    [".cargo/", ".ci/", "deploy/", "k8s/", "docker-compose.yml", "Cargo.toml"];

/// What would turn crash points on, or use them.
const WORDS: [&str; 3] = ["failpoints", "all-features", "SOUK_CRASH_AT"];

/// No manifest, build or deployment has anything to do with crash points, and no feature of the two
/// crates that have is on by itself.
pub fn stay_in_tests(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for file in tree.files() {
        let path = &*file.path;
        if MANIFESTS.contains(&path) {
            let on = file.text.lines().position(|line| line.trim_start().starts_with("default ="));
            complaints.extend(on.map(|at| {
                format!(
                    "{path}:{}: no feature here is on by default: it could be in images",
                    at + 1
                )
            }));
        } else if path.ends_with("/Cargo.toml") || BUILDS.iter().any(|part| path.starts_with(part))
        {
            let lines = file.text.lines().enumerate();
            let found = lines.filter(|(_, line)| WORDS.iter().any(|word| line.contains(word)));
            let found = found.filter(|_| path != SUITE);
            complaints.extend(found.map(|(at, line)| {
                let line = line.trim();
                format!("{path}:{}: {line}: crash points are for tests/crashes alone", at + 1)
            }));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        stay_in_tests(&Tree::of([(path, text)])).len()
    }

    #[test]
    fn crash_points_that_get_out_are_found() {
        let on = "crash = { workspace = true, features = [\"failpoints\"] }";
        for (path, text, expected) in [
            ("libs/crash/Cargo.toml", "[features]\nfailpoints = []", 0),
            ("libs/crash/Cargo.toml", "[features]\ndefault = [\"failpoints\"]\nfailpoints = []", 1),
            ("tests/crashes/Cargo.toml", "[features]\ndefault = [\"failpoints\"]", 1),
            ("tests/crashes/Cargo.toml", "failpoints = [\"crash/failpoints\"]", 0),
            ("libs/messaging/Cargo.toml", "[dependencies]\ncrash.workspace = true", 0),
            ("libs/messaging/Cargo.toml", on, 1),
            ("Cargo.toml", on, 1),
            ("deploy/docker/Dockerfile", "RUN cargo build --release --workspace", 0),
            ("deploy/docker/Dockerfile", "RUN cargo build --release --all-features", 1),
            ("deploy/souk/src/build.rs", "&[\"--features\", \"crashes/failpoints\"]", 1),
            (SUITE, "&[\"--features\", \"crashes/failpoints\"]", 0),
            ("docker-compose.yml", "      SOUK_CRASH_AT: commit.after", 1),
            ("CONTRIBUTING.md", "the feature `failpoints`", 0),
        ] {
            assert_eq!(complaints(path, text), expected, "{path}: {text}");
        }
    }
}
