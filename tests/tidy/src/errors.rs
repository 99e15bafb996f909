//! The map from a context's errors to the protocol's is exhaustive: whoever adds a refusal is made
//! to decide what callers see.

use crate::{Complaints, Tree};

const LINT: &str = "clippy::wildcard_enum_match_arm";

/// convert.rs turns on clippy's lint, and its maps to Status have no arm for "the rest".
pub fn are_mapped_one_by_one(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        if !source.path.starts_with("services/") || !source.path.ends_with("/src/convert.rs") {
            continue;
        }
        if !source.shipped.contains(LINT) {
            complaints.push(format!("{}: begin with `#![deny({LINT})]`", source.path));
        }
        for (at, header) in source.shipped.match_indices("for Status") {
            let body = block(&source.shipped[at + header.len()..]);
            let line = |offset: usize| source.shipped[..at + offset].lines().count();
            if let Some(offset) = catch_all(body) {
                complaints.push(format!(
                    "{}:{}: name every error instead of catching the rest",
                    source.path,
                    line(header.len() + offset)
                ));
            }
        }
    }
    complaints
}

/// From the beginning of the text to the brace that closes its first one.
fn block(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == '}' && depth == 0 {
            return &text[..=at];
        }
    }
    text
}

/// An arm whose pattern is `_` or a name alone, with or without a condition.
fn catch_all(body: &str) -> Option<usize> {
    body.match_indices("=>").map(|(at, _)| at).find(|&at| {
        let begin = body[..at].rfind(['{', ',', '}', '\n']).map_or(0, |begin| begin + 1);
        let pattern = body[begin..at].trim();
        !pattern.is_empty() && pattern.chars().all(|c| c.is_lowercase() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(arms: &str) -> usize {
        let code = format!(
            "#![deny({LINT})]\nimpl From<Error> for Status {{ fn from(e: Error) -> Self {{ match e {{\n{arms}\n}} }} }}\n\
             fn page() {{ match size {{ _ => 20 }} }}"
        );
        are_mapped_one_by_one(&Tree::of([("services/cart/src/convert.rs", &*code)])).len()
    }

    #[test]
    fn an_arm_for_the_rest_is_found() {
        assert_eq!(complaints("Error::A => a(),\nError::B(error) => internal(error),"), 0);
        assert_eq!(complaints("Error::A => a(),\n_ => internal(e),"), 1);
        assert_eq!(complaints("Error::A => a(),\nother => internal(other),"), 1);
    }

    #[test]
    fn a_missing_lint_is_found() {
        let tree = Tree::of([("services/cart/src/convert.rs", "fn f() {}")]);
        assert_eq!(are_mapped_one_by_one(&tree).len(), 1);
    }
}
