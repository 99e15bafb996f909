//! PostgreSQL's own client programs.

use crate::error::Doing;
use crate::url::Url;
use crate::{Result, Tools, process};
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

/// A program that comes with PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Client {
    /// The one beside the server, or else the one in `path` (enough for a server that somebody else runs).
    pub(crate) fn find(tools: &Tools, name: &str, path: &OsStr) -> Option<Client> {
        let server = tools.postgres.as_ref();
        let beside = server.map(|server| (server.sibling(name), server.libraries.clone()));
        let others = std::env::split_paths(path).map(|dir| (dir.join(name), Vec::new()));
        let mut programs = beside.into_iter().chain(others);
        let found = programs.find(|(program, _)| program.is_file());
        found.map(|(program, libraries)| Client { program, libraries })
    }

    /// Runs it on a database to its end, with `input` to read.
    pub(crate) fn run(&self, args: &[&str], url: &str, input: &str) -> Result<Output> {
        let url = Url::parse(url)?;
        let mut child = process::command(&self.program, &self.libraries, None)
            .args(args)
            .arg(without_password(&url))
            // Arguments can be read by everybody on the machine, the environment cannot.
            .env("PGPASSWORD", &url.password)
            .env("PGCONNECT_TIMEOUT", "5")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("run", &self.program)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A client that cannot connect reads nothing: its own message says more than our broken pipe.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().doing("run", &self.program)
    }
}

fn without_password(url: &Url) -> String {
    let whole = url.with(&url.user, "", &url.path);
    whole.replacen(":@", "@", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_among_the_arguments() {
        let url = Url::parse("postgres://me:secret@127.0.0.1:5000/postgres").expect("valid");
        assert_eq!(without_password(&url), "postgres://me@127.0.0.1:5000/postgres");
    }
}
