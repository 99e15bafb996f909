//! What the machine must have before a long build is worth starting.

use crate::{Result, style};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use stores::{Error, Home, Options, Server, Tools};

/// The oldest compiler that builds the shop (sqlx 0.9 decides that).
const RUST_OLDEST: (u32, u32) = (1, 94);

/// A cold release build, and data.
pub const DISK_MB: u64 = 4_000;

/// The compiler's version, or what is wrong with it.
pub fn rust() -> std::result::Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let (major, minor) = RUST_OLDEST;
    let way_out =
        format!("{major}.{minor} or newer is needed: rustup update stable (https://rustup.rs)");
    let text = first_line(&rustc, "--version").ok_or(format!("no rustc; {way_out}"))?;
    let version = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found >= RUST_OLDEST { Ok(version) } else { Err(format!("rustc {version}; {way_out}")) }
}

/// The C compiler's version line, or what is wrong.
pub fn c_compiler() -> std::result::Result<String, String> {
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let way_out = match cfg!(target_os = "macos") {
        true => "xcode-select --install",
        false => "apt-get install build-essential, or your system's package of gcc",
    };
    first_line(&cc, "--version").ok_or(format!("no C compiler: {way_out}"))
}

/// Megabytes that are free where the folder is; none when the system does not tell.
pub fn disk_free_mb(folder: &Path) -> Option<u64> {
    let output = Command::new("df").args(["-P", "-k"]).arg(folder).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let kilobytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes / 1024)
}

fn first_line(program: &OsString, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// Everything that a build needs. Takes well under a second, so that nobody waits for a bad end.
///
/// # Errors
/// One message that names what is missing.
pub fn check_for_build(home: &Home) -> Result {
    rust()?;
    c_compiler()?;
    match disk_free_mb(home.workspace()) {
        Some(free) if free < DISK_MB => {
            let warning =
                format!("{free} MB of disk are free; build and data take about {DISK_MB}");
            eprintln!("{} {warning}", style::yellow("warning:"));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The programs of the stores that are to be started here: found, fetched, or (with `system`) installed.
///
/// # Errors
/// The one message that names what is missing and the ways out.
pub fn provide_stores(home: &Home, options: &Options, system: bool) -> Result {
    let missing = Tools::find(home).missing(&options.needed());
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(Server::to_string).collect::<Vec<_>>().join(", ");
    let progress = style::Progress::new();
    if system {
        stores::install_with_package_manager(&missing, &|line| progress.show(line))?;
        progress.end();
        let still = Tools::find(home).missing(&missing);
        if !still.is_empty() {
            return Err(stores::ways_out(&still, "installed, but not found or too old").into());
        }
        return Ok(());
    }
    println!("{names}: not on this machine; fetching the distribution's packages into .souk/tools");
    let fetched = stores::provide(home, &options.needed(), &|line| progress.show(line));
    progress.end();
    fetched.map(|_| ()).map_err(Error::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_build_what_it_builds() {
        assert!(rust().is_ok_and(|version| version.starts_with("1.")));
        c_compiler().expect("a C compiler");
        assert!(disk_free_mb(Path::new(".")).expect("df") > 0);
    }
}
