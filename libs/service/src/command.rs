//! The command line of a process. Put together by hand rather than derived, because `healthcheck` must work without
//! the settings that serving requires.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches as _, Subcommand};

use crate::{Options, files};

/// `EX_USAGE` of sysexits.h: the command line or the environment is wrong, and trying again will not help.
pub(crate) const EXIT_USAGE: u8 = 64;

/// A setting that only turned out to be wrong when it was used. As the error of `run` or `migrate` the process exits
/// with 64 instead of 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

const MIGRATE: &str = "migrate";
const HEALTHCHECK: &str = "healthcheck";
/// The id of the setting in the options of rpc, which the chassis does not depend on.
const TLS_DIR: &str = "tls_dir";

/// What the process is to do.
#[derive(Debug)]
pub(crate) enum Action<C, O, V> {
    Serve(C),
    Migrate(C),
    Operate(O, V),
    /// With the folder of the process's certificate.
    Healthcheck(Options, Option<PathBuf>),
}

/// Reads the command line; help, version and complaints are printed here.
pub(crate) fn read<C: Args, O: Args, V: Subcommand>(
    name: &'static str,
) -> Result<Action<C, O, V>, ExitCode> {
    parse(name, std::env::args_os()).map_err(|error| {
        // Help goes to stdout, complaints to stderr. If neither can be written, nobody looks.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

/// The settings of a service that runs in another's process: they are in its environment, behind the service's name
/// (`ORDER_SOUK_LISTEN`).
///
/// # Errors
/// As the service's command line refuses them.
pub fn settings<C: Args>(name: &'static str) -> Result<C, UsageError> {
    behind(name, |variable| std::env::var_os(variable))
        .map_err(|error| UsageError(error.to_string()))
}

fn behind<C: Args>(
    name: &'static str,
    file: impl Fn(&str) -> Option<OsString>,
) -> Result<C, clap::Error> {
    let mut command = C::augment_args(Command::new(name)).mut_args(|arg| {
        let variable = arg.get_env().and_then(OsStr::to_str);
        match variable.map(|variable| format!("{}_{variable}", name.to_uppercase())) {
            Some(variable) => arg.env(&*variable.leak()), // there until the process ends, once for each setting
            None => arg,
        }
    });
    let args = files::read(&command, vec![name.into()], file)?;
    let mut matches = command.try_get_matches_from_mut(args)?;
    C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

fn parse<C: Args, O: Args, V: Subcommand>(
    name: &'static str,
    args: impl Iterator<Item = impl Into<OsString>>,
) -> Result<Action<C, O, V>, clap::Error> {
    let mut command = command::<C, V>(name);
    let mut args: Vec<OsString> = args.map(Into::into).collect();
    if !args.iter().any(|arg| arg == HEALTHCHECK) {
        let settings = C::augment_args(Command::new(name));
        args = files::read(&settings, args, |name| std::env::var_os(name))?;
    }
    let matches = command.try_get_matches_from_mut(args)?;
    Ok(match matches.subcommand_name() {
        Some(HEALTHCHECK) => {
            let tls_dir = matches.try_get_one::<PathBuf>(TLS_DIR).ok().flatten().cloned();
            Action::Healthcheck(Options::from_arg_matches(&matches)?, tls_dir)
        }
        Some(MIGRATE) => Action::Migrate(
            C::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?,
        ),
        Some(_) => Action::Operate(O::from_arg_matches(&matches)?, V::from_arg_matches(&matches)?),
        None => Action::Serve(C::from_arg_matches(&matches)?),
    })
}

fn command<C: Args, V: Subcommand>(name: &'static str) -> Command {
    V::augment_subcommands(files::described(C::augment_args(Command::new(name))))
        .about(format!("The {name} process of the shop. Without a command it serves."))
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(
            Command::new(MIGRATE).about("Bring the process's database up to date, and exit"),
        )
        .subcommand(
            Command::new(HEALTHCHECK)
                .about("Exit 0 if the process on the admin port is ready, else 1"),
        )
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        // A variable may be a password.
        .mut_args(|arg| arg.hide_env_values(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CARGO_PKG_NAME` and the like are there when cargo runs a test.
    #[derive(Debug, clap::Args)]
    struct Config {
        #[arg(long, env = "PKG_NAME")]
        name: String,
        #[arg(long, env = "PKG_VERSION")]
        version: String,
        /// In the environment, and not behind a name
        #[arg(long, env = "PATH")]
        path: Option<String>,
        #[arg(long, env = "NONE", default_value_t = 3)]
        count: u32,
        #[arg(long, env = "URL", hide_env_values = true)]
        url: Option<String>,
    }

    #[test]
    fn settings_are_those_behind_the_name() {
        let Config { name, version, path, count, url } = settings("cargo").expect("complete");
        let expected = ("service", env!("CARGO_PKG_VERSION"), None, 3, None);
        assert_eq!((&*name, &*version, path, count, url), expected);
    }

    #[test]
    fn a_secret_is_read_from_the_file_behind_the_name() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "redis://:x@h\n").expect("written");
        let read = |of: &str| {
            let file = |variable: &str| (variable == of).then(|| secret.path().into());
            behind::<Config>("cargo", file).expect("complete").url
        };
        assert_eq!(read("CARGO_URL_FILE").as_deref(), Some("redis://:x@h"));
        assert_eq!(read("URL_FILE"), None, "another's");
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = settings::<Config>("order").expect_err("nothing is there").to_string();
        assert!(missing.contains("--name") && missing.contains("--version"), "{missing}");
    }
}
