//! PostgreSQL's own benchmark, for a yardstick that everybody knows.

use crate::client::Client;
use crate::{Error, Result, Tools};
use std::ffi::OsStr;
use std::time::Duration;

/// The `pgbench` that belongs to the PostgreSQL that was found.
#[derive(Debug, Clone)]
pub struct Pgbench(Client);

impl Pgbench {
    /// The one beside the server (Debian's package of the server has it), or else the one in `PATH`.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none; says where it comes from.
    pub fn of(tools: &Tools) -> Result<Pgbench> {
        Pgbench::of_path(tools, &std::env::var_os("PATH").unwrap_or_default())
    }

    fn of_path(tools: &Tools, path: &OsStr) -> Result<Pgbench> {
        let missing = "no pgbench beside PostgreSQL or in PATH (it comes with the server, or in a package \
                       postgresql-contrib)";
        let found = Client::find(tools, "pgbench", path).map(Pgbench);
        found.ok_or_else(|| Error::Missing(missing.to_owned()))
    }

    /// Runs a transaction's script again and again, each of `clients` on a connection of its own with
    /// prepared statements; how many transactions a second that were.
    ///
    /// # Errors
    /// [`Error::Failed`] with what pgbench says.
    pub fn run(&self, url: &str, script: &str, clients: usize, time: Duration) -> Result<f64> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(clients);
        let seconds = time.as_secs_f64().ceil().max(1.0);
        let args = format!(
            "--no-vacuum --protocol=prepared --file=- --client={clients} --jobs={threads} --time={seconds:.0}"
        );
        let output = self.0.run(&args.split(' ').collect::<Vec<_>>(), url, script)?;
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
