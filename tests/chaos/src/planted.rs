//! The harness is tested: mistakes are planted into a copy of the tree, one at a time, and each has
//! to be found by the promise that its patch names. The copy without a mistake has to pass.
//!
//! A patch begins with what it must break, `Breaks: P4 cancelled_orders_cost_nothing`, with the
//! faults that bring it out, `Faults: kill,pause`, and with what was done wrong.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use souk::build;
use souk::cli::{Chaos, Fault};
use stores::Home;

use crate::run::{Run, say};

const PATCHES: &str = "tests/chaos/planted";
/// What one seed does not bring out, another may.
const SEEDS: u64 = 3;

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// The name of its file.
    pub name: String,
    /// Where it is.
    pub patch: PathBuf,
    /// The check that has to find it.
    pub check: String,
    /// The promise that this check is about.
    pub promise: String,
    /// What brings it out.
    pub faults: Vec<Fault>,
}

/// All mistakes, or those with these names.
///
/// # Errors
/// When there is none with a name, or a patch has no proper head.
pub fn planted(workspace: &Path, names: &[String]) -> Result<Vec<Planted>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(workspace.join(PATCHES)).context(PATCHES)? {
        let patch = entry?.path();
        if patch.extension() == Some(OsStr::new("patch")) {
            let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&patch)?;
            all.push(head(&text, name, &patch).with_context(|| patch.display().to_string())?);
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(name) = names.iter().find(|name| !all.iter().any(|planted| planted.name == **name))
    {
        let known: Vec<&str> = all.iter().map(|planted| planted.name.as_str()).collect();
        bail!("no planted mistake {name:?} (there are {})", known.join(", "));
    }
    all.retain(|planted| names.is_empty() || names.contains(&planted.name));
    Ok(all)
}

fn head(text: &str, name: String, patch: &Path) -> Result<Planted> {
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let breaks = line("Breaks: ").context("no line `Breaks: PROMISE CHECK`")?;
    let (promise, check) = breaks.split_once(' ').context("Breaks: PROMISE CHECK")?;
    let faults = line("Faults: ").context("no line `Faults: LIST`")?.split(',');
    let faults = faults.map(|fault| Fault::from_str(fault, false).map_err(anyhow::Error::msg));
    Ok(Planted {
        name,
        patch: patch.to_owned(),
        check: check.to_owned(),
        promise: promise.to_owned(),
        faults: faults.collect::<Result<_>>()?,
    })
}

/// The whole verb; whether every mistake was found, and none where there is none.
///
/// # Errors
/// When a patch does not apply, the copy does not build, or a run has no verdict.
pub(crate) async fn verb(options: &Chaos, names: &[String]) -> Result<bool> {
    let home = Home::find()?;
    let mistakes = planted(home.workspace(), names)?;
    let field = Field::open(&home)?;
    let mut unfound = Vec::new();
    for mistake in &mistakes {
        if !field.finds(options, mistake).await? {
            unfound.push(format!("{} ({})", mistake.name, mistake.check));
        }
    }
    field.clear()?;
    field.build()?;
    let report = crate::run::run(&field.run(options, 1, Fault::of(1))).await?;
    say(&format!("nothing planted\n{report}"));
    say(&format!("planted    {} of {} found", mistakes.len() - unfound.len(), mistakes.len()));
    unfound.iter().for_each(|name| say(&format!("NOT FOUND  {name}")));
    Ok(unfound.is_empty() && report.failures().is_empty())
}

/// Where things are planted: a copy of the tree, with a target folder of its own.
struct Field {
    home: Home,
    tree: PathBuf,
    target: PathBuf,
}

impl Field {
    fn open(home: &Home) -> Result<Self> {
        let target = build::target_dir().map_err(|error| anyhow::anyhow!("{error}"))?;
        let tree = home.path().join("planted");
        Ok(Self { home: home.clone(), tree, target: target.join("planted") })
    }

    /// Plants a mistake, and runs until it is found; says how that went.
    async fn finds(&self, options: &Chaos, mistake: &Planted) -> Result<bool> {
        self.clear()?;
        self.apply(&mistake.patch)?;
        self.build()?;
        let first = options.seed.unwrap_or(1);
        for seed in first..first + SEEDS {
            let run = self.run(options, seed, mistake.faults.clone());
            let report = crate::run::run(&run).await?;
            let broken: Vec<_> = report.verdict.broken().collect();
            let found = broken.iter().find(|check| check.name == mistake.check);
            let Planted { name, promise, check, .. } = mistake;
            let others: Vec<&str> = broken.iter().map(|check| check.name).collect();
            match found {
                Some(found) => {
                    let (defects, looked_at) = (found.defects, found.looked_at);
                    say(&format!(
                        "planted    {name}: {promise} {check} BROKEN as it should be, {defects} of \
                         {looked_at}, seed {seed}"
                    ));
                    return Ok(true);
                }
                None => say(&format!("planted    {name}: seed {seed} breaks {others:?}")),
            }
        }
        Ok(false)
    }

    fn run(&self, options: &Chaos, seed: u64, kinds: Vec<Fault>) -> Run {
        let folder = self.home.path().join("chaos");
        let programs = Some(self.target.join("debug"));
        let (minutes, customers) = (options.minutes, options.customers);
        Run { seed, minutes, kinds, nats: 1, customers, folder, programs }
    }

    /// The copy is as the tree is. What is so already is not touched, so that little is built again.
    fn clear(&self) -> Result<()> {
        let wanted = tracked(self.home.workspace())?;
        for path in &wanted {
            let content = fs::read(self.home.workspace().join(path))?;
            let copy = self.tree.join(path);
            if fs::read(&copy).ok().as_ref() != Some(&content) {
                fs::create_dir_all(copy.parent().unwrap_or(&self.tree))?;
                fs::write(&copy, content)?;
            }
        }
        for path in files(&self.tree)?.difference(&wanted) {
            fs::remove_file(self.tree.join(path))?;
        }
        Ok(())
    }

    /// The copy is not to be taken for a part of the repository that it lies in.
    fn apply(&self, patch: &Path) -> Result<()> {
        let mut git = Command::new("git");
        git.current_dir(&self.tree).env("GIT_CEILING_DIRECTORIES", self.home.path());
        let status = git.arg("apply").arg(patch).status().context("git")?;
        ensure!(status.success(), "{} does not apply any more", patch.display());
        Ok(())
    }

    fn build(&self) -> Result<()> {
        let failed = |error| anyhow::anyhow!("{error}");
        let mut cargo = build::cargo(&Home::of_workspace(&self.tree)).map_err(failed)?;
        cargo.args(["build", "--quiet", "--workspace", "--bins"]);
        let status = cargo.env("CARGO_TARGET_DIR", &self.target).status()?;
        ensure!(status.success(), "the copy does not build");
        Ok(())
    }
}

/// What git knows of, or would, and what is there of it.
fn tracked(workspace: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(workspace).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let output = git.output().context("git")?;
    ensure!(output.status.success(), "git ls-files: {}", output.status);
    let names = String::from_utf8(output.stdout)?;
    let paths = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(paths.filter(|path| workspace.join(path).is_file()).collect())
}

/// Everything below a folder.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(root)?.to_owned())),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn every_patch_says_what_it_breaks_and_still_applies() {
        let all = planted(&workspace(), &[]).unwrap();
        assert!(all.len() >= 10, "{}", all.len());
        for mistake in all {
            assert!(!mistake.faults.is_empty(), "{}", mistake.name);
            let mut git = Command::new("git");
            git.current_dir(workspace()).args(["apply", "--check"]).arg(&mistake.patch);
            assert!(git.status().unwrap().success(), "{} does not apply any more", mistake.name);
        }
    }

    #[test]
    fn what_is_not_there_and_what_has_no_head_is_said() {
        let unknown = planted(&workspace(), &["no-such".to_owned()]).unwrap_err().to_string();
        assert!(unknown.contains("no-such") && unknown.contains("no-refund"), "{unknown}");
        let of = |text: &str| head(text, "a".into(), Path::new("a.patch"));
        assert!(of("Breaks: P4 a\nFaults: kill,flood\n").is_err());
        assert!(of("Faults: kill\n").is_err() && of("Breaks: P4 a\n").is_err());
        let good = of("Breaks: P4 a_check\nFaults: kill,nats-wipe\n\ndiff").unwrap();
        assert_eq!((good.promise.as_str(), good.check.as_str()), ("P4", "a_check"));
        assert_eq!(good.faults, [Fault::Kill, Fault::NatsWipe]);
    }
}
