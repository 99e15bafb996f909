//! `cargo souk images`: one image for each process, by `deploy/docker/Dockerfile`, tagged with the
//! workspace's version.

use crate::cli::{Images, SERVICES};
use crate::{Result, build, style};
use std::io::ErrorKind;
use std::process::{Command, Stdio};
use stores::Home;

/// What has an image beside the services.
const BESIDE: [&str; 4] = ["provisioner", "psp", "init", "load"];

/// How images are called that are not pushed: `localhost/souk/order`. Under a name without a host an engine that
/// does not have one would ask the public registry, where anybody can own that name.
const LOCAL: &str = "localhost/souk";

const DOCKERFILE: &str = "deploy/docker/Dockerfile";

/// What has an image.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().chain(BESIDE)
}

/// Builds the images, and loads or pushes them as the options say.
///
/// # Errors
/// When there is no engine (with what to do), or a step fails (the program has said why).
pub fn run(home: &Home, options: &Images) -> Result {
    engine()?;
    if let Some(cluster) = &options.kind {
        check_cluster(cluster)?;
    }
    let prefix = options.push.as_deref().unwrap_or(LOCAL);
    let names: Vec<(&str, String)> =
        names().map(|service| (service, tag(prefix, service))).collect();
    for (service, name) in &names {
        println!("{} {name}", style::bold("building"));
        docker(home, &build_arguments(options, service, name))?;
    }
    if options.platform.is_some() {
        return Ok(()); // pushed as they were built: an engine does not keep images of several platforms
    }
    for (_, name) in names.iter().filter(|_| options.push.is_some()) {
        docker(home, &["push", name])?;
    }
    if let Some(cluster) = &options.kind {
        let mut kind = Command::new("kind");
        kind.args(["load", "docker-image", "--name", cluster]);
        kind.args(names.iter().map(|(_, name)| name));
        build::succeeded(kind.status()?, "kind load docker-image")?;
    }
    names.iter().try_for_each(|(_, name)| show_size(name))
}

fn tag(prefix: &str, service: &str) -> String {
    format!("{prefix}/{service}:{}", env!("CARGO_PKG_VERSION"))
}

fn build_arguments<'a>(options: &'a Images, service: &str, name: &'a str) -> Vec<String> {
    let service = format!("SERVICE={service}");
    let mut arguments = match &options.platform {
        Some(platforms) => vec!["buildx", "build", "--push", "--platform", platforms],
        None => vec!["build"],
    };
    arguments.extend(["--file", DOCKERFILE, "--build-arg", &service, "--tag", name, "."]);
    arguments.into_iter().map(str::to_owned).collect()
}

fn docker(home: &Home, arguments: &[impl AsRef<str>]) -> Result {
    let arguments = arguments.iter().map(AsRef::as_ref);
    let mut command = Command::new("docker");
    // The engine of Debian 12 has BuildKit, and has to be asked for it.
    command.args(arguments.clone()).current_dir(home.workspace()).env("DOCKER_BUILDKIT", "1");
    let what: Vec<&str> = arguments.collect();
    build::succeeded(command.status()?, &format!("docker {}", what.join(" ")))
}

fn show_size(name: &str) -> Result {
    let mut command = Command::new("docker");
    let output = command.args(["image", "inspect", "--format", "{{.Size}}", name]).output()?;
    let bytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0.0);
    println!("{name:<40} {:>6.1} MB", bytes / 1e6);
    Ok(())
}

/// Whether there is something to build with; a program alone does not build.
fn engine() -> Result {
    let asked = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output();
    let output = match asked {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let way_out = "install an engine (https://docs.docker.com/engine/install)";
            return Err(format!("no docker on this machine to build images with: {way_out}").into());
        }
        other => other?,
    };
    if output.status.success() {
        return Ok(());
    }
    let heard = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    let way_out = "start it (systemctl start docker), or name another in DOCKER_HOST";
    Err(format!("docker is here, but its engine does not answer: {way_out} ({heard})").into())
}

fn check_cluster(cluster: &str) -> Result {
    let asked = Command::new("kind").args(["get", "clusters"]).output();
    let output = match asked {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err("no kind on this machine: https://kind.sigs.k8s.io".into());
        }
        other => other?,
    };
    let clusters = String::from_utf8_lossy(&output.stdout).into_owned();
    if clusters.lines().any(|line| line.trim() == cluster) {
        return Ok(());
    }
    let there = clusters.split_whitespace().collect::<Vec<_>>().join(", ");
    Err(format!("kind has no cluster {cluster:?} (it has: {there})").into())
}
