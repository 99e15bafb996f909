//! The settings of one process.

use std::path::PathBuf;

#[derive(Default)]
pub(super) struct Environment(pub(super) Vec<(String, String)>);

impl Environment {
    pub(super) fn set(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    pub(super) fn path(&mut self, name: &str, value: PathBuf) {
        self.set(name, value.display());
    }
}
