//! The files of the repository, read once; or a few in memory, to try a rule on.

use std::fs;
use std::io::Result;
use std::path::Path;

use crate::rust;

/// What no rule looks into: made by tools, and not in the repository.
const SKIPPED: [&str; 3] = ["target", ".git", ".souk"];

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// Its text, lossily when it is not UTF-8.
    pub text: String,
}

/// A Rust file, taken apart. What is in a part stands where it stands in the original; the rest is blank.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// From the root of the repository.
    pub path: &'a str,
    /// As it is written.
    pub text: &'a str,
    /// Without what stands in comments, strings and character literals.
    pub code: String,
    /// The part of the code that is not only for tests.
    pub shipped: String,
    /// The part of the code that is.
    pub tests: String,
    /// What stands in string literals of the part that is not.
    pub strings: String,
}

/// All files.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: Vec<File>,
}

impl Tree {
    /// Reads everything below `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.collect(root, "")?;
        tree.files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(tree)
    }

    /// A tree in memory, of paths and texts.
    pub fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let file = |(path, text): (&str, &str)| File { path: path.into(), text: text.into() };
        Self::from_files(files.map(file).into())
    }

    /// The same, of files whose paths are made.
    pub fn from_files(files: Vec<File>) -> Self {
        Self { files }
    }

    fn collect(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&&*name) {
                    self.collect(&entry.path(), &format!("{path}/"))?;
                }
            } else if let Ok(bytes) = fs::read(entry.path()) {
                // A file that has just gone belonged to somebody's editor.
                self.files.push(File { path, text: String::from_utf8_lossy(&bytes).into_owned() });
            }
        }
        Ok(())
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The files below a folder, with their paths from there.
    pub fn below<'a>(&'a self, folder: &str) -> Vec<(&'a str, &'a File)> {
        let inside =
            |file: &'a File| Some((file.path.strip_prefix(folder)?.strip_prefix('/')?, file));
        self.files.iter().filter_map(inside).collect()
    }

    /// One file.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is a file or a folder with this path.
    pub fn exists(&self, path: &str) -> bool {
        self.file(path).is_some() || !self.below(path).is_empty()
    }

    /// The names of the folders right below a folder.
    pub fn folders(&self, folder: &str) -> Vec<&str> {
        let below = self.below(folder).into_iter();
        let mut names: Vec<&str> =
            below.filter_map(|(path, _)| Some(path.split_once('/')?.0)).collect();
        names.dedup();
        names
    }

    /// Every Rust file, taken apart.
    pub fn sources(&self) -> Vec<Source<'_>> {
        let files: Vec<_> = self.files().filter(|file| file.path.ends_with(".rs")).collect();
        let declared: Vec<String> = files
            .iter()
            .flat_map(|file| rust::test_modules(&file.path, &rust::code(&file.text)))
            .collect();
        files.into_iter().map(|file| source(file, &declared)).collect()
    }
}

/// `declared` are the modules that exist for tests only, without `.rs`.
fn source<'a>(file: &'a File, declared: &[String]) -> Source<'a> {
    let code = rust::code(&file.text);
    let folders = ["/tests/", "/examples/", "/benches/"];
    let inside = declared.iter().any(|module| {
        let rest = file.path.strip_prefix(&**module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    });
    let (path, text) = (&*file.path, &*file.text);
    if inside || folders.iter().any(|part| path.contains(part)) {
        let (shipped, strings) = (String::new(), String::new());
        return Source { path, text, tests: code.clone(), code, shipped, strings };
    }
    let (shipped, tests) = rust::split_tests(&code);
    Source { path, text, code, shipped, tests, strings: rust::shipped_strings(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_for_tests_are_told_from_the_rest() {
        let tree = Tree::of([
            ("libs/a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod tests;"),
            ("libs/a/src/b.rs", "fn b() {}\n#[cfg(test)]\nmod deep;"),
            ("libs/a/src/b/deep.rs", "fn deep() {}"),
            ("libs/a/src/tests.rs", "fn t() {}"),
            ("libs/a/src/tests/more.rs", "fn more() {}"),
            ("libs/a/tests/it/main.rs", "fn it() {}"),
        ]);
        let shipped: Vec<_> =
            tree.sources().into_iter().filter(|s| !s.shipped.trim().is_empty()).collect();
        let paths: Vec<_> = shipped.iter().map(|source| source.path).collect();
        assert_eq!(paths, ["libs/a/src/lib.rs", "libs/a/src/b.rs"]);
        assert!(shipped.iter().all(|source| !source.shipped.contains("cfg(test)")));
    }
}
