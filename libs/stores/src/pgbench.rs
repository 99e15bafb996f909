//! PostgreSQL's own benchmark, for a yardstick that everybody knows.

use crate::error::Doing;
use crate::url::Url;
use crate::{Error, Result, Tools, databases, process};
use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// The `pgbench` that belongs to the PostgreSQL that was found.
#[derive(Debug, Clone)]
pub struct Pgbench {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Pgbench {
    /// The one beside the server (Debian's package of the server has it), or else the one in `PATH`.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none; says where it comes from.
    pub fn of(tools: &Tools) -> Result<Pgbench> {
        Pgbench::of_path(tools, &std::env::var_os("PATH").unwrap_or_default())
    }

    fn of_path(tools: &Tools, path: &OsStr) -> Result<Pgbench> {
        let server = tools.postgres.as_ref();
        let beside = server.map(|server| (server.sibling("pgbench"), server.libraries.clone()));
        let others = std::env::split_paths(path).map(|dir| (dir.join("pgbench"), Vec::new()));
        let mut programs = beside.into_iter().chain(others);
        let found = programs.find(|(program, _)| program.is_file());
        let missing = "no pgbench beside PostgreSQL or in PATH (it comes with the server, or in a package \
                       postgresql-contrib)";
        found
            .map(|(program, libraries)| Pgbench { program, libraries })
            .ok_or_else(|| Error::Missing(missing.to_owned()))
    }

    /// Runs a transaction's script again and again, each of `clients` on a connection of its own with
    /// prepared statements; how many transactions a second that were.
    ///
    /// # Errors
    /// [`Error::Failed`] with what pgbench says.
    pub fn run(&self, url: &str, script: &str, clients: usize, time: Duration) -> Result<f64> {
        let url = Url::parse(url)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(clients);
        let seconds = time.as_secs_f64().ceil().max(1.0);
        let mut command = process::command(&self.program, &self.libraries, None);
        command.args(["--no-vacuum", "--protocol=prepared", "--file=-"]);
        command.arg(format!("--client={clients}")).arg(format!("--jobs={threads}"));
        command.arg(format!("--time={seconds:.0}")).arg(databases::without_password(&url));
        command.env("PGPASSWORD", &url.password).env("PGCONNECT_TIMEOUT", "5");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("run", &self.program)?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(script.as_bytes()); // what went wrong, pgbench says itself
        }
        let output = child.wait_with_output().doing("run", &self.program)?;
        let said = String::from_utf8_lossy(&output.stdout);
        match per_second(&said).filter(|_| output.status.success()) {
            Some(rate) => Ok(rate),
            None => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                let last = complaint.lines().last().unwrap_or("no rate");
                Err(Error::Failed(format!("pgbench: {last}")))
            }
        }
    }
}

/// `tps = 17012.345678 (without initial connection time)`.
fn per_second(said: &str) -> Option<f64> {
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "))?;
    rate.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_pgbench_one_line_says_where_it_comes_from() {
        let missing = Pgbench::of_path(&Tools::default(), OsStr::new("/no/such/folder"));
        let said = missing.expect_err("there is none").to_string();
        assert!(said.contains("no pgbench") && said.lines().count() == 1, "{said}");
    }

    #[test]
    fn the_rate_is_read_as_pgbench_tells_it() {
        let said = "number of failed transactions: 0 (0.000%)\nlatency average = 1.879 ms\n\
                    tps = 17028.125 (without initial connection time)\n";
        assert_eq!(per_second(said), Some(17_028.125));
        assert_eq!(per_second("latency average = 1.879 ms\n"), None);
    }
}
