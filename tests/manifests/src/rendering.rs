//! Manifests as a cluster would get them: rendered by `kubectl kustomize`, with secrets made for
//! this once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use stores::Home;
use tempfile::TempDir;

/// What kustomizations may refer to: they may not look above their own tree.
const SOURCES: [&str; 3] = ["k8s", "deploy/edge", "deploy/docker"];

/// Since this one, folders may stand among the `resources`. Debian 12 has an older one, which
/// wants them among the `bases`; it renders the same.
const FOLDERS_ARE_RESOURCES: u32 = 21;

/// A copy of the kustomizations with everything that they need.
#[derive(Debug)]
pub struct Tree {
    folder: TempDir,
    kubectl: PathBuf,
    minor: u32,
}

impl Tree {
    /// Copies what is in the repository, and makes secrets where a kustomization wants some.
    ///
    /// # Errors
    /// When there is no kubectl, or no `init` among the programs that were built.
    pub fn prepare(home: &Home) -> Result<Self> {
        let kubectl = souk::validators::kubectl(home).context("there is no kubectl")?;
        let minor = minor_version(&kubectl)?;
        let folder = tempfile::tempdir()?;
        for source in SOURCES {
            copy(&home.workspace().join(source), &folder.path().join(source))?;
        }
        let tree = Self { folder, kubectl, minor };
        tree.overlays()?.iter().try_for_each(|overlay| tree.make_secrets(overlay))?;
        Ok(tree)
    }

    /// A kustomization of a test, beside nothing else.
    ///
    /// # Errors
    /// When there is no kubectl, or the folder cannot be copied.
    pub fn of_fixture(home: &Home, source: &Path) -> Result<Self> {
        let kubectl = souk::validators::kubectl(home).context("there is no kubectl")?;
        let folder = tempfile::tempdir()?;
        copy(source, &folder.path().join("k8s/overlays/fixture"))?;
        Ok(Self { folder, minor: minor_version(&kubectl)?, kubectl })
    }

    /// The same with other words in every file that has them.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn changed(&self, words: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        copy_all(self.folder.path(), folder.path(), words)?;
        Ok(Self { folder, kubectl: self.kubectl.clone(), minor: self.minor })
    }

    /// Whether the kubectl is one from before folders were resources.
    pub fn is_old(&self) -> bool {
        self.minor < FOLDERS_ARE_RESOURCES
    }

    /// With one overlay more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_overlay(self, name: &str, kustomization: &str) -> Result<Self> {
        let overlay = format!("k8s/overlays/{name}");
        fs::create_dir_all(self.folder.path().join(&overlay))?;
        fs::write(self.kustomization(&overlay), kustomization)?;
        Ok(self)
    }

    /// Everything that somebody may apply: `k8s/overlays/local`, …
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn overlays(&self) -> Result<Vec<String>> {
        let mut overlays = Vec::new();
        for parent in ["k8s/overlays", "k8s"] {
            for entry in fs::read_dir(self.folder.path().join(parent))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let overlay = format!("{parent}/{name}");
                if overlay != "k8s/base" && self.kustomization(&overlay).is_file() {
                    overlays.push(overlay);
                }
            }
        }
        overlays.sort();
        Ok(overlays)
    }

    /// What `kubectl apply -k` would send.
    ///
    /// # Errors
    /// With what kubectl said.
    pub fn render(&self, overlay: &str) -> Result<String> {
        if self.is_old() {
            self.name_bases(overlay)?;
        }
        let mut command = Command::new(&self.kubectl);
        let output = command.arg("kustomize").arg(self.folder.path().join(overlay)).output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
        ensure!(output.status.success(), "{overlay}: {said}");
        // Of what is deprecated it tells, and renders all the same.
        ensure!(said.is_empty(), "{overlay}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn kustomization(&self, overlay: &str) -> PathBuf {
        self.folder.path().join(overlay).join("kustomization.yaml")
    }

    fn make_secrets(&self, overlay: &str) -> Result<()> {
        if !fs::read_to_string(self.kustomization(overlay))?.contains("secrets/") {
            return Ok(());
        }
        let init = programs()?.join("init");
        let mut command = Command::new(&init);
        command.args(["secrets", "--dir"]).arg(self.folder.path().join(overlay).join("secrets"));
        let output = command.output().with_context(|| format!("cannot run {}", init.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "init secrets: {}", said.trim());
        Ok(())
    }

    /// Moves folders from `resources` to `bases`, here and in what they lead to.
    fn name_bases(&self, overlay: &str) -> Result<()> {
        let file = self.kustomization(overlay);
        let text = fs::read_to_string(&file)?;
        let is_folder = |line: &&str| {
            let path = line.trim().strip_prefix("- ").unwrap_or_default();
            path.starts_with("../") && !path.ends_with(".yaml")
        };
        let (bases, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(is_folder);
        if bases.is_empty() {
            return Ok(());
        }
        fs::write(file, format!("{}\nbases:\n{}\n", rest.join("\n"), bases.join("\n")))?;
        Ok(())
    }
}

fn minor_version(kubectl: &Path) -> Result<u32> {
    let output = Command::new(kubectl).args(["version", "--client", "--output=json"]).output();
    let output = output.with_context(|| format!("cannot run {}", kubectl.display()))?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    let digits = minor.trim_end_matches(|c: char| !c.is_ascii_digit());
    digits.parse().with_context(|| format!("{} is of version {version}", kubectl.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "secrets" {
            continue; // somebody's own
        }
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path, words: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&source, &target, words)?;
        } else {
            let text = fs::read_to_string(&source)?;
            let changed = words.iter().fold(text, |text, (old, new)| text.replace(old, new));
            fs::write(target, changed)?;
        }
    }
    Ok(())
}

/// Where cargo put the shop's programs: beside this one.
///
/// # Errors
/// When this program does not know where it is.
pub fn programs() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    match folder {
        Some(folder) => Ok(folder.to_owned()),
        None => bail!("{} is in no folder", program.display()),
    }
}
