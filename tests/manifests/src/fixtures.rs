//! Broken input, each with what a check must say to it, in its first line: `# expect: …`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use stores::Home;

/// One broken file.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// Where it is.
    pub path: PathBuf,
    /// The whole of it.
    pub text: String,
    /// What must be said.
    pub expected: String,
}

impl Fixture {
    /// The name of the file, without what follows a dot.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }

    /// A complaint when what was said does not say it.
    pub fn complaint(&self, said: &str) -> Option<String> {
        let found = said.contains(&self.expected);
        (!found).then(|| {
            format!(
                "{}: the check did not find {:?}, but said: {said}",
                self.path.display(),
                self.expected
            )
        })
    }
}

/// The folder of all fixtures.
pub fn folder(home: &Home) -> PathBuf {
    home.workspace().join("tests/manifests/fixtures")
}

/// The fixtures in a folder, in the order of their names. There must be some.
///
/// # Errors
/// When there is none, or one does not say what is expected.
pub fn read(folder: &Path) -> Result<Vec<Fixture>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("no fixtures: {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let fixtures: Vec<Fixture> = paths.into_iter().map(one).collect::<Result<_>>()?;
    anyhow::ensure!(!fixtures.is_empty(), "no fixtures: {}", folder.display());
    Ok(fixtures)
}

fn one(path: PathBuf) -> Result<Fixture> {
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let first = text.lines().next().unwrap_or_default();
    let expected = first.strip_prefix("# expect: ").map(str::to_owned);
    let expected =
        expected.with_context(|| format!("{}: begin with `# expect: …`", path.display()))?;
    Ok(Fixture { path, text, expected })
}
