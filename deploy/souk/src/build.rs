//! Building the shop with cargo, and handing over to it.

use crate::cli::SERVICES;
use crate::{Result, style};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use stores::Home;

/// Tests hold both ends of a thousand connections, and a login shell gives 1,024 files.
const WITH_ALL_FILES: &str = r#"ulimit -n "$(ulimit -H -n)"; exec "$@""#;

/// How the shop is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What is measured, and what images hold.
    Release,
    /// Sooner built, slower to run: what `up` starts, and what the tests run.
    Dev,
}

impl Profile {
    /// As people and cargo's `--profile` call it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Dev => "dev",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Dev => "debug",
        }
    }
}

/// The cargo that runs us, in the workspace and into the same target folder.
///
/// # Errors
/// As [`target_dir`].
pub fn cargo(home: &Home) -> Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", WITH_ALL_FILES, "sh"]);
    command.arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(home.workspace()).env("CARGO_TARGET_DIR", target_dir()?);
    forget_this_package(&mut command);
    Ok(command)
}

/// Removes what `cargo run` sets for *this* package: build scripts that watch those variables would run
/// again, and half of the shop with them.
fn forget_this_package(command: &mut Command) {
    let ours = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
        "OUT_DIR",
    ];
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| ours.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
}

/// Where cargo builds: the folder that this program itself was built in.
///
/// # Errors
/// When this program does not know where it is.
pub fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    program
        .ancestors()
        .nth(2)
        .map(PathBuf::from)
        .ok_or_else(|| "this program is not in a target folder".into())
}

/// Where the operator of this profile is, or will be once built.
///
/// # Errors
/// As [`target_dir`].
pub fn operator(profile: Profile) -> Result<PathBuf> {
    program(profile, "operator")
}

/// Where a program of this profile is, or will be once built.
///
/// # Errors
/// As [`target_dir`].
pub fn program(profile: Profile, name: &str) -> Result<PathBuf> {
    Ok(target_dir()?.join(profile.folder()).join(name))
}

/// What runs beside the services when the shop is up.
const AROUND: [&str; 4] = ["operator", "psp", "provisioner", "console"];

/// Builds what `up` starts and no more, with cargo's own progress.
///
/// # Errors
/// When it does not compile; cargo has said why.
pub fn shop(home: &Home, profile: Profile) -> Result {
    programs(home, profile, &[&AROUND[..], &SERVICES].concat())
}

/// Builds some programs.
///
/// # Errors
/// As [`shop`].
pub fn programs(home: &Home, profile: Profile, names: &[&str]) -> Result {
    println!("{} ({} profile)", style::bold("building"), profile.name());
    let programs = names.iter().flat_map(|name| ["--bin", name]);
    // Of the whole workspace: its features are those of the tests' build, and nothing is built twice.
    build(home, profile, &["--workspace"].into_iter().chain(programs).collect::<Vec<_>>())
}

/// Builds every program, as the tests want them.
///
/// # Errors
/// As [`shop`].
pub fn everything(home: &Home) -> Result {
    println!("{} ({} profile)", style::bold("building"), Profile::Dev.name());
    build(home, Profile::Dev, &["--workspace", "--bins"])
}

fn build(home: &Home, profile: Profile, packages: &[&str]) -> Result {
    let mut command = cargo(home)?;
    command.args(["build", "--profile", profile.name()]).args(packages);
    succeeded(command.status()?, "cargo build")
}

/// An exit status as a result.
///
/// # Errors
/// When it is not success.
pub fn succeeded(status: ExitStatus, what: &str) -> Result {
    if status.success() { Ok(()) } else { Err(format!("{what}: {status}").into()) }
}

/// Becomes the operator, with the arguments of this process. Returns only when that fails.
///
/// # Errors
/// When the program cannot be run.
pub fn become_operator(profile: Profile) -> Result {
    become_program(profile, "operator", std::env::args_os().skip(1))
}

/// Becomes another program of the shop. Returns only when that fails.
///
/// # Errors
/// When it cannot be run.
pub fn become_program(
    profile: Profile,
    name: &str,
    arguments: impl Iterator<Item = OsString>,
) -> Result {
    let program = program(profile, name)?;
    let mut command = Command::new(&program);
    command.args(arguments);
    forget_this_package(&mut command);
    let error = command.exec();
    Err(format!("cannot run {}: {error}", program.display()).into())
}
