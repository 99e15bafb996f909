//! `cargo souk images`, with a `docker` and a `kind` that note what they are asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{programs, run, souk, workspace};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const IMAGES: [&str; 10] = [
    "gateway",
    "product",
    "user",
    "cart",
    "order",
    "payment",
    "provisioner",
    "psp",
    "init",
    "load",
];

/// A folder of programs in which those of `scripts` note how they were called.
pub(crate) fn noting(folder: &Path, scripts: &[(&str, &str)]) -> PathBuf {
    let bin = programs(folder, &["sh"]);
    for (name, then) in scripts {
        let (draft, path) = (folder.join(name), bin.join(name));
        let notes = folder.join("notes");
        let script = format!("#!/bin/sh\necho {name} \"$@\" >> {}\n{then}\n", notes.display());
        fs::write(&draft, script).expect("written");
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).expect("executable");
        // By another process: a file that this one has open for writing (or its child, for a moment)
        // cannot be run.
        let copied = Command::new("cp").arg("-p").arg(&draft).arg(&path).status();
        assert!(copied.expect("cp runs").success());
    }
    bin
}

pub(crate) fn notes(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("notes")).unwrap_or_default();
    text.lines().filter(|line| !line.contains("version")).map(str::to_owned).collect()
}

/// Exit code, what was said, and what was asked for.
fn images(
    test: &str,
    scripts: &[(&str, &str)],
    arguments: &[&str],
) -> (Option<i32>, String, Vec<String>) {
    let folder = workspace(test);
    let bin = noting(&folder, scripts);
    let mut command = souk(&folder, &["images"]);
    let (code, out, err) = run(command.args(arguments).env("PATH", &bin));
    (code, out + &err, notes(&folder))
}

fn built(prefix: &str, service: &str) -> String {
    format!(
        "docker build --file deploy/docker/Dockerfile --build-arg SERVICE={service} --tag {prefix}/{service}:{VERSION} ."
    )
}

#[test]
fn every_image_is_built_and_tagged_by_version() {
    let (code, said, notes) = images("images", &[("docker", "echo 12500000")], &[]);
    assert_eq!(code, Some(0), "{said}");
    let builds: Vec<_> = notes.iter().filter(|line| line.contains(" build ")).collect();
    assert_eq!(
        builds,
        IMAGES.map(|service| built("localhost/souk", service)).iter().collect::<Vec<_>>()
    );
    assert!(!notes.iter().any(|line| line.contains("push")), "{notes:?}");
    assert!(
        said.contains(&format!("localhost/souk/order:{VERSION}")) && said.contains("12.5 MB"),
        "{said}"
    );
}

#[test]
fn images_are_pushed_under_the_registrys_name() {
    let registry = "registry.example.com/acme";
    let (code, said, notes) = images("push", &[("docker", "")], &["--push", registry]);
    assert_eq!(code, Some(0), "{said}");
    for service in IMAGES {
        assert!(notes.contains(&built(registry, service)), "{notes:?}");
        assert!(
            notes.contains(&format!("docker push {registry}/{service}:{VERSION}")),
            "{notes:?}"
        );
    }
}

#[test]
fn several_platforms_are_built_and_pushed_at_once() {
    let arguments = ["--push", "localhost:5000", "--platform", "linux/amd64,linux/arm64"];
    let (code, said, notes) = images("platforms", &[("docker", "")], &arguments);
    assert_eq!((code, notes.len()), (Some(0), IMAGES.len()), "{said}");
    let start = "docker buildx build --push --platform linux/amd64,linux/arm64 --file";
    assert!(notes.iter().all(|line| line.starts_with(start)), "{notes:?}");
}

#[test]
fn images_are_loaded_into_a_kind_cluster_that_there_is() {
    let programs = [("docker", ""), ("kind", "echo souk")];
    let (code, said, notes) = images("kind", &programs, &["--kind", "souk"]);
    assert_eq!(code, Some(0), "{said}");
    let loaded = notes.iter().find(|line| line.starts_with("kind load")).expect("loaded");
    let all = IMAGES.map(|service| format!("localhost/souk/{service}:{VERSION}")).join(" ");
    assert_eq!(*loaded, format!("kind load docker-image --name souk {all}"));

    let (code, said, notes) = images("kind-other", &programs, &["--kind", "other"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "error: kind has no cluster \"other\" (it has: souk)\n")
    );
    assert!(!notes.iter().any(|line| line.contains("build")), "{notes:?}");
}

#[test]
fn what_is_missing_is_said_at_once_with_the_way_out() {
    let (code, said, _) = images("no-docker", &[], &[]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("no docker on this machine") && said.contains("install"), "{said}");

    let dead = [("docker", "echo Cannot connect to the Docker daemon >&2; exit 1")];
    let (code, said, _) = images("no-engine", &dead, &[]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("systemctl start docker") && said.contains("Cannot connect"), "{said}");

    let (code, said, _) = images("no-kind", &[("docker", "")], &["--kind", "souk"]);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("no kind on this machine"), "{said}");
}

#[test]
fn a_name_without_a_registry_is_refused() {
    let (code, said, notes) = images("no-registry", &[("docker", "")], &["--push", "acme/souk"]);
    assert_eq!((code, said.lines().count(), notes.len()), (Some(64), 1, 0), "{said}");
    assert!(said.contains("'acme/souk'") && said.contains("names no registry"), "{said}");
}

#[test]
fn a_build_that_fails_ends_it() {
    let broken = [("docker", "case \"$1\" in build) exit 3;; esac")];
    let (code, said, notes) = images("broken", &broken, &["--push", "localhost:5000"]);
    assert_eq!((code, notes.len()), (Some(1), 1), "{said}");
    assert!(said.contains("docker build --file"), "{said}");
}
