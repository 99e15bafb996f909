//! The command line of a process. Put together by hand rather than derived, because `healthcheck` must work without
//! the settings that serving requires.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStr, Resettable};
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

/// The settings of a service that another process runs, from the variables that it would find in an environment of its own.
///
/// # Errors
/// As the service's command line refuses them.
pub fn settings<C: Args>(
    name: &'static str,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<C, clap::Error> {
    let command = C::augment_args(Command::new(name));
    let mut args = files::read(&command, vec![name.into()], &variable)?;
    for arg in command.get_arguments() {
        let variable = arg.get_env().and_then(|env| variable(env.to_str()?));
        if let (Some(long), Some(value)) = (arg.get_long(), variable) {
            let mut arg = OsString::from(format!("--{long}="));
            arg.push(value);
            args.push(arg);
        }
    }
    // Not from the environment, which is another's.
    let mut command = command.mut_args(|arg| arg.env(Resettable::<OsStr>::Reset));
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

    #[derive(Debug, clap::Args)]
    struct Config {
        /// Of the machine that runs the tests, too
        #[arg(long, env = "PATH")]
        path: Option<String>,
        /// With a password
        #[arg(long, env = "URL", hide_env_values = true)]
        url: String,
        #[arg(long, env = "COUNT", default_value_t = 3)]
        count: u32,
    }

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        settings("idle", variable).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_from_what_is_given_and_not_from_the_environment() {
        let config = read(&[("URL", "redis://:x@h"), ("COUNT", "5")]).expect("complete");
        assert_eq!((config.path, config.url, config.count), (None, "redis://:x@h".into(), 5));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "from a file\n").expect("written");
        let path = file.path().to_str().expect("text");
        let config = read(&[("URL_FILE", path), ("PATH", "--url")]).expect("complete");
        assert_eq!((config.url.as_str(), config.path.as_deref()), ("from a file", Some("--url")));
        assert_eq!(config.count, 3);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let missing = read(&[]).expect_err("no URL");
        assert!(missing.contains("--url"), "{missing}");
        let wrong = read(&[("URL", "x"), ("COUNT", "many")]).expect_err("no number");
        assert!(wrong.contains("'many' for '--count <COUNT>'"), "{wrong}");
    }
}
