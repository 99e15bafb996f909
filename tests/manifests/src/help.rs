//! What processes can be told, by their own word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::Object;
use crate::objects::Container;

/// Of each process of ours that the objects run, the variables that its `--help` names.
///
/// # Errors
/// When a process was not built, or does not explain itself.
pub fn variables(
    objects: &[Object],
    programs: &Path,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let pods: Vec<_> = objects.iter().filter_map(Object::pod).collect();
    let containers = pods.iter().flat_map(|pod| pod.containers());
    let names: BTreeSet<&str> = containers.filter_map(|it: Container| it.program()).collect();
    names.into_iter().map(|name| Ok((name.to_owned(), of(&programs.join(name))?))).collect()
}

fn of(program: &Path) -> Result<BTreeSet<String>> {
    let not_built = || format!("{}: cargo build --workspace --bins", program.display());
    let output = Command::new(program).arg("--help").output().with_context(not_built)?;
    ensure!(output.status.success(), "{} --help: {}", program.display(), output.status);
    Ok(names(&String::from_utf8_lossy(&output.stdout)))
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
}
