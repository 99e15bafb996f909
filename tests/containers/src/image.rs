//! The images: the last stage of the shipped Dockerfile, around programs that the tests have built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use stores::Home;

use crate::engine::Engine;
use crate::namespace::Place;

/// Stands for the Dockerfile's first stage, which compiles.
const BUILT: &str = "souk-built";

/// Builds from programs beside this one.
pub(crate) struct Images<'a> {
    engine: &'a Engine<'a>,
    /// The last stage, with its own first line.
    dockerfile: PathBuf,
    nothing: PathBuf,
}

impl<'a> Images<'a> {
    /// Collects what goes into the images of `programs`, as the first stage does.
    pub(crate) fn prepare(
        home: &Home,
        place: &Place,
        engine: &'a Engine,
        programs: &[&str],
    ) -> Result<Self> {
        let (stripped, context) = (place.folder.join("programs"), place.folder.join("built"));
        let nothing = place.folder.join("nothing");
        for folder in [&stripped, &context, &nothing] {
            fs::create_dir_all(folder)?;
        }
        let built = operator::shop::programs_beside_this()?;
        for program in programs {
            strip(&built.join(program), &stripped.join(program))?;
        }
        let closure = home.workspace().join("deploy/docker/closure");
        let collected =
            Command::new(closure).arg(&stripped).arg(context.join("images")).output()?;
        let said = String::from_utf8_lossy(&collected.stderr).into_owned();
        ensure!(collected.status.success(), "deploy/docker/closure: {said}");
        fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY images /images\n")?;
        engine.docker(&["build", "--quiet", "--tag", BUILT, &context.to_string_lossy()])?;

        let shipped = fs::read_to_string(home.workspace().join("deploy/docker/Dockerfile"))?;
        let dockerfile = place.folder.join("Dockerfile");
        fs::write(&dockerfile, last_stage(&shipped)?)?;
        Ok(Self { engine, dockerfile, nothing })
    }

    /// Builds the image of one program under this name.
    pub(crate) fn build(&self, program: &str, name: &str) -> Result<()> {
        let (dockerfile, nothing) =
            (self.dockerfile.to_string_lossy(), self.nothing.to_string_lossy());
        let service = format!("SERVICE={program}");
        let arguments = ["build", "--quiet", "--build-arg", &service, "--tag", name, "--file"];
        self.engine.docker(&[&arguments[..], &[&dockerfile, &nothing]].concat())?;
        Ok(())
    }
}

fn last_stage(dockerfile: &str) -> Result<String> {
    let (_, stage) = dockerfile.split_once("\nFROM scratch\n").context("no stage FROM scratch")?;
    Ok(format!("FROM {BUILT} AS build\n\nFROM scratch\n{stage}"))
}

/// Without what only a debugger reads: three quarters of a program that was built for tests.
fn strip(from: &Path, to: &Path) -> Result<()> {
    ensure!(from.is_file(), "{} is not built: cargo build --workspace --bins", from.display());
    let stripped = Command::new("strip").arg("-o").arg(to).arg(from).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(from, to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_is_taken_whole() {
        let shipped = "FROM rust AS build\nRUN cargo\n\n# why\nFROM scratch\nARG SERVICE\nUSER 1\n";
        let expected = "FROM souk-built AS build\n\nFROM scratch\nARG SERVICE\nUSER 1\n";
        assert_eq!(last_stage(shipped).expect("there"), expected);
        assert!(last_stage("FROM debian\n").is_err());
    }
}
