//! Secrets by file. A setting whose value may hold a password can also be read from a file: where
//! `SOUK_NATS_URL` is one, `SOUK_NATS_URL_FILE` names the file that holds it. Containers are told
//! their secrets so, because everybody who may look at a container sees its environment.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, Command};

const SUFFIX: &str = "_FILE";
/// What makes the secrets of containers, for whoever has none.
const WAY_OUT: &str = "`init secrets` makes it (docker compose run --rm init)";

/// Says so in the help of each such setting: those that hide their values.
pub(crate) fn described(command: Command) -> Command {
    command.mut_args(|arg| match variable(&arg) {
        Some(file) => {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.help(format!("{help}; {file} may name a file with it instead"))
        }
        None => arg,
    })
}

/// `args`, with what is in the files that `env` names before them.
///
/// # Errors
/// When a file cannot be read, or the setting is in the environment as well.
pub(crate) fn read(
    command: &Command,
    mut args: Vec<OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, clap::Error> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut found = Vec::new();
    for arg in command.get_arguments() {
        let (Some(file), Some(long)) = (variable(arg), arg.get_long()) else { continue };
        let Some(path) = set(&file) else { continue };
        let plain = file.trim_end_matches(SUFFIX);
        if set(plain).is_some() {
            return Err(refusal(command, &format!("{plain} and {file} are both set: one of them")));
        }
        match contents(Path::new(&path)) {
            Ok(value) => found.push(OsString::from(format!("--{long}={value}"))),
            Err(error) => {
                let path = path.display();
                let unread = format!("cannot read {path} ({file}): {error}; {WAY_OUT}\n");
                return Err(clap::Error::raw(ErrorKind::ValueValidation, unread)); // in one line
            }
        }
    }
    let at = args.len().min(1); // after the program's own name
    args.splice(at..at, found);
    Ok(args)
}

/// White space at the end does not count: editors and `echo` leave some.
fn contents(path: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim_end().to_owned())
}

/// The variable that may name a file with this setting.
fn variable(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?.to_str()?;
    arg.is_hide_env_values_set().then(|| format!("{name}{SUFFIX}"))
}

fn refusal(command: &Command, message: &str) -> clap::Error {
    command.clone().error(ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn command() -> Command {
        let secret = Arg::new("url").long("url").env("URL").hide_env_values(true).help("Where");
        Command::new("idle").arg(secret).arg(Arg::new("plain").long("plain").env("PLAIN"))
    }

    fn read_with(env: &[(&str, &str)]) -> Result<Vec<OsString>, clap::Error> {
        let env = |name: &str| {
            let found = env.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        read(&command(), ["idle", "migrate"].map(OsString::from).into(), env)
    }

    fn secret(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn what_is_in_the_file_comes_before_the_rest() {
        let file = secret("redis://:x@h\n");
        let path = file.path().to_str().expect("text");
        let args = read_with(&[("URL_FILE", path)]).expect("legible");
        assert_eq!(args, ["idle", "--url=redis://:x@h", "migrate"]);
        assert_eq!(read_with(&[("URL_FILE", "")]).expect("as if unset"), ["idle", "migrate"]);
    }

    #[test]
    fn only_settings_that_hide_their_values_are_read_so() {
        let file = secret("x");
        let path = file.path().to_str().expect("text");
        assert_eq!(read_with(&[("PLAIN_FILE", path)]).expect("ignored"), ["idle", "migrate"]);
        let help = described(command()).render_help().to_string();
        assert!(help.contains("Where; URL_FILE may name a file with it instead"), "{help}");
        assert!(!help.contains("PLAIN_FILE"), "{help}");
    }

    #[test]
    fn both_and_neither_legible_are_refused_by_name() {
        let file = secret("password");
        let path = file.path().to_str().expect("text");
        let both = read_with(&[("URL", "x"), ("URL_FILE", path)]).expect_err("both").to_string();
        assert!(both.contains("URL and URL_FILE are both set"), "{both}");
        let gone = read_with(&[("URL_FILE", "/no/such/file")]).expect_err("gone").to_string();
        assert!(gone.contains("cannot read /no/such/file (URL_FILE)"), "{gone}");
        assert!(
            gone.contains("docker compose run --rm init") && gone.lines().count() == 1,
            "{gone}"
        );
        assert!(!format!("{both}{gone}").contains("password"));
    }
}
