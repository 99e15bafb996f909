//! A folder of its own for each test, emptied of servers at the end, whatever happened.

use std::path::{Path, PathBuf};
use stores::{Home, Server, Stores, Tools};

pub struct Folder(PathBuf);

impl Folder {
    pub fn new(test: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stores-{test}"));
        Stores::wipe(&path).expect("the folder of an earlier run can be removed");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = Stores::wipe(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// The programs, fetched if this machine has none.
pub fn programs() -> Tools {
    let home = Home::find().expect("tests run inside the workspace");
    stores::provide(&home, &Server::ALL, &|line| eprintln!("{line}"))
        .expect("the programs of the stores")
}
