//! Expand and contract (zero-downtime, backward-compatible migrations): the binaries of the release before keep
//! running on the newer schema, and a release can be rolled back without its schema. A migration that contracts waits
//! until no release that is still run needs what it takes away, and says which.

mod statement;

use std::collections::BTreeSet;

use crate::{Complaints, File, Tree};
use statement::{Change, Names, change, statements};

/// What the last release had; `tests/baseline/README.md` says more.
const BASELINE: &str = "tests/baseline";

/// A line of a migration's comments: the newest release that has stopped using what goes.
const CONTRACTS_AFTER: &str = "-- contracts after:";

/// A line of a migration's comments: why a rule that older binaries do not know is kept by them.
const OLDER_KEEP: &str = "-- older binaries keep ";

/// Every migration that the last release did not have expands, or says after which release it contracts.
pub fn expand(tree: &Tree) -> Complaints {
    let released = released(tree);
    let new = migrations(tree).filter(|(place, _)| tree.file(&recorded(place)).is_none());
    new.flat_map(|(_, file)| complaints(file, released)).collect()
}

/// What the last release had is what databases have run: a change of it would reach none of them.
pub fn are_unchanged(tree: &Tree) -> Complaints {
    let now = |place: &str| migrations(tree).find(|(other, _)| other == place);
    let recorded = tree.below(&format!("{BASELINE}/migrations")).into_iter();
    let changed = recorded.filter_map(|(place, then)| match now(place) {
        Some((_, file)) if file.text == then.text => None,
        Some((_, file)) => Some(format!(
            "{}: databases have run it as it was: put it back, and write a new migration",
            file.path
        )),
        None => Some(format!("{place} is gone, and databases have run it: put it back")),
    });
    changed.collect()
}

/// `order/0001_orders.sql` and the file, of every migration of a service or a library.
fn migrations(tree: &Tree) -> impl Iterator<Item = (String, &File)> {
    tree.files().filter_map(|file| {
        let mut parts = file.path.split('/');
        let tier = parts.next().filter(|tier| ["services", "libs"].contains(tier));
        let (owner, folder, name) = (tier.and(parts.next())?, parts.next()?, parts.next()?);
        (folder == "migrations").then(|| (format!("{owner}/{name}"), file))
    })
}

fn recorded(place: &str) -> String {
    format!("{BASELINE}/migrations/{place}")
}

/// Major and minor number.
type Release = (u32, u32);

fn released(tree: &Tree) -> Release {
    let file = tree.file(&format!("{BASELINE}/release"));
    file.and_then(|file| release(&file.text)).unwrap_or_default()
}

fn release(text: &str) -> Option<Release> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn complaints(file: &File, released: Release) -> Complaints {
    let path = &file.path;
    let contracts = match contracts_after(&file.text).map(release) {
        None => false,
        Some(Some(after)) if after <= released => true,
        Some(after) => {
            let of = match after {
                Some(_) => "is no release yet (tests/baseline/release)",
                None => "names no release, like 0.1",
            };
            return vec![format!("{path}: `{CONTRACTS_AFTER}` {of}")];
        }
    };
    let statements = statements(&file.text);
    let names = Names::of(&statements);
    let kept = kept_by_older(&file.text);
    let changes = statements.iter().flat_map(|statement| change(statement, &names));
    let complaint = |change: Change| match change {
        Change::Expands => None,
        Change::Contracts(what) if !contracts => Some(format!(
            "{path}: `{what}` takes away what the release before uses: stop using it, and do this \
             when no such release is run any more, with `{CONTRACTS_AFTER} <release>` above it"
        )),
        Change::Contracts(_) => None,
        Change::Tightens(what, name) if !kept.contains(&*name) => Some(format!(
            "{path}: `{what}` is a rule that the release before does not know: say why it keeps \
             to it, with `{OLDER_KEEP}{name}: <reason>`, or leave it for a later release"
        )),
        Change::Tightens(..) => None,
        Change::Refused(what, instead) => Some(format!("{path}: `{what}`: {instead}")),
    };
    changes.filter_map(complaint).collect()
}

fn contracts_after(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(CONTRACTS_AFTER))
}

/// The names with a reason of their own.
fn kept_by_older(text: &str) -> BTreeSet<&str> {
    let reasons = text.lines().filter_map(|line| line.strip_prefix(OLDER_KEEP)?.split_once(':'));
    reasons.filter(|(_, reason)| !reason.trim().is_empty()).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests;
