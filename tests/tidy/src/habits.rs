//! Small habits that keep code honest.

use crate::{Complaints, Tree, rust};

/// The longest file that is still read as one.
const LINES_MAX: usize = 400;

/// Marks a pause that is what the test is about; any other waits for a condition.
const FAULT: &str = "// the fault itself";

/// Code that says "later", or proves nothing.
const UNFINISHED: [(&str, &str); 7] = [
    ("#[ignore", "run it, or put it behind an environment variable that its suite sets"),
    ("todo!", "do it, or answer with an error"),
    ("unimplemented!", "do it, or answer with an error"),
    ("assert!(true", "assert something that can be false"),
    ("assert!(1==1", "assert something that can be false"),
    ("dbg!", "remove it, or trace it"),
    ("unsafe{", "there is a safe way, or a crate whose trade it is"),
];

/// Nothing unfinished, and no test that cannot fail.
pub fn nothing_is_unfinished(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        for (at, line) in source.code.lines().enumerate() {
            let squeezed: String = line.split_whitespace().collect();
            let found = UNFINISHED.iter().filter(|(word, _)| squeezed.contains(word));
            complaints.extend(
                found.map(|(word, way_out)| {
                    format!("{}:{}: `{word}`: {way_out}", source.path, at + 1)
                }),
            );
        }
    }
    complaints
}

/// A test that sleeps is slow when all is well and wrong when the machine is busy. A pause right
/// after a limit was asserted is a poll, as libraries below testkit write it for themselves.
pub fn tests_wait_for_conditions(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources().iter().filter(|source| !source.path.contains("/examples/")) {
        let original: Vec<&str> = source.text.lines().collect();
        for line in rust::lines_with(&source.tests, "sleep(") {
            let above = |lines: usize| &original[line.saturating_sub(lines + 1)..line];
            let marked = above(1).iter().any(|line| line.contains(FAULT));
            let polls = above(6).iter().any(|line| line.contains("< limit"));
            if !marked && !polls {
                complaints.push(format!(
                    "{}:{line}: wait with testkit::eventually. If the pause is what is tested, say \
                     so: `{FAULT}`",
                    source.path
                ));
            }
        }
    }
    complaints
}

/// No file is longer than somebody reads.
pub fn files_are_short(tree: &Tree) -> Complaints {
    let sources = tree.files().filter(|file| file.path.ends_with(".rs"));
    let long = sources.filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| {
            format!(
                "{}: {lines} lines, at most {LINES_MAX}: find the second thing in it",
                file.path
            )
        })
    });
    long.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_unfinished_is_found() {
        for (word, _) in UNFINISHED {
            let code = format!("fn f() {{\n    {word}\n}}");
            assert_eq!(nothing_is_unfinished(&Tree::of([("libs/a/src/lib.rs", &*code)])).len(), 1);
            let said = format!("// {word}\nconst A: &str = {word:?};");
            assert!(nothing_is_unfinished(&Tree::of([("libs/a/src/lib.rs", &*said)])).is_empty());
        }
    }

    #[test]
    fn a_test_that_sleeps_is_found() {
        let at =
            |path: &str, code: &str| tests_wait_for_conditions(&Tree::of([(path, code)])).len();
        let nap = "fn t() {\n    sleep(MINUTE);\n}";
        assert_eq!(at("libs/a/tests/it/main.rs", nap), 1);
        assert_eq!(at("libs/a/src/lib.rs", nap), 0);
        let inside = format!("#[cfg(test)]\nmod tests {{ {nap} }}");
        assert_eq!(at("libs/a/src/lib.rs", &inside), 1);
        assert_eq!(at("libs/a/tests/it/main.rs", "    // the fault itself\n    sleep(MINUTE);"), 0);
        assert_eq!(at("libs/a/tests/it/main.rs", "    sleep(MINUTE); // the fault itself"), 0);
        let poll = "while !done() {\n    assert!(now() < limit);\n    sleep(MOMENT);\n}";
        assert_eq!(at("libs/a/tests/it/main.rs", poll), 0);
    }

    #[test]
    fn a_long_file_is_found() {
        let text = "\n".repeat(LINES_MAX + 1);
        assert_eq!(files_are_short(&Tree::of([("libs/a/src/lib.rs", &*text)])).len(), 1);
        assert!(files_are_short(&Tree::of([("libs/a/README.md", &*text)])).is_empty());
    }
}
