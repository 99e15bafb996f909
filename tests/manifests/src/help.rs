//! What processes can be told, by their own word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::Object;
use crate::objects::Container;

/// What a process can be told: the variables that its `--help` names, and the defaults of those that have one.
pub type Settings = (BTreeSet<String>, BTreeMap<String, String>);

/// Of each process of ours that the objects run.
///
/// # Errors
/// When a process was not built, or does not explain itself.
pub fn settings(objects: &[Object], programs: &Path) -> Result<BTreeMap<String, Settings>> {
    let pods: Vec<_> = objects.iter().filter_map(Object::pod).collect();
    let containers = pods.iter().flat_map(|pod| pod.containers());
    let names: BTreeSet<&str> = containers.filter_map(|it: Container| it.program()).collect();
    names.into_iter().map(|name| Ok((name.to_owned(), of(&programs.join(name))?))).collect()
}

fn of(program: &Path) -> Result<Settings> {
    let not_built = || format!("{}: cargo build --workspace --bins", program.display());
    let output = Command::new(program).arg("--help").output().with_context(not_built)?;
    ensure!(output.status.success(), "{} --help: {}", program.display(), output.status);
    let help = String::from_utf8_lossy(&output.stdout);
    Ok((names(&help), defaults(&help)))
}

/// `[env: NAME] [default: 12]`, on one line or two.
fn defaults(help: &str) -> BTreeMap<String, String> {
    let parts = help.split("[env: ").skip(1).filter_map(|part| {
        let (name, rest) = part.split_once([']', '='])?;
        let rest = rest.split_once("[default: ").filter(|(between, _)| between.len() < 30)?.1;
        Some((name.to_owned(), rest.split(']').next()?.to_owned()))
    });
    parts.collect()
}

/// Words such as `SOUK_LISTEN`.
fn names(help: &str) -> BTreeSet<String> {
    let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = help.split(|c| !letter(c)).filter(|word| word.contains('_'));
    words.map(|word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_from_help() {
        let help = "--nats-url <NATS_URL>  NATS URLs; SOUK_NATS_URL_FILE may [env: SOUK_NATS_URL]\n Usage: x";
        let expected = ["NATS_URL", "SOUK_NATS_URL", "SOUK_NATS_URL_FILE"];
        assert_eq!(names(help).into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn defaults_are_read_from_help() {
        let help = "  Connections\n\n  [env: MOST]\n  [default: 12]\n\n  --url <URL>\n  [env: URL]\n\n  --other <N>\n\n  [env: OTHER] [default: x]";
        let expected = [("MOST", "12"), ("OTHER", "x")];
        let expected = expected.map(|(name, default)| (name.to_owned(), default.to_owned()));
        assert_eq!(defaults(help), BTreeMap::from(expected));
    }
}
