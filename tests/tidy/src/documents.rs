//! What is written stays true: links lead somewhere, functions that are named exist, decisions
//! are short and numbered.

use crate::{Complaints, File, Tree, rust};

const ADR_LINES_MAX: usize = 80;
const ADR_PARTS: [&str; 3] = ["## Context", "## Decision", "## Consequences"];

/// Where code is named by its path from the root.
const FOLDERS: [&str; 7] =
    ["services/", "libs/", "gateway/", "proto/", "deploy/", "tests/", "docs/"];

fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files().filter(|file| file.path.ends_with(".md"))
}

/// The prose of a document, line by line: fenced blocks are blank.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let line = |line| {
        let fence = str::trim_start(line).starts_with("```");
        fenced ^= fence;
        if fenced || fence { "" } else { line }
    };
    text.lines().map(line).collect()
}

struct Link<'a> {
    line: usize,
    text: &'a str,
    target: &'a str,
}

/// All `[text](target)`.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    for (at, line) in prose(text).into_iter().enumerate() {
        for (middle, _) in line.match_indices("](") {
            let Some(begin) = line[..middle].rfind('[') else { continue };
            let Some(length) = line[middle..].find(')') else { continue };
            let (text, target) = (&line[begin + 1..middle], &line[middle + 2..middle + length]);
            links.push(Link { line: at + 1, text, target });
        }
    }
    links
}

/// Every link within the repository has a target, headings included.
pub fn links_lead_somewhere(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for document in documents(tree) {
        for Link { line, target, .. } in links(&document.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path =
                if path.is_empty() { document.path.clone() } else { resolve(document, path) };
            let there = match heading {
                "" => tree.exists(&path),
                _ => tree.file(&path).is_some_and(|file| anchors(&file.text).any(|a| a == heading)),
            };
            if !there {
                complaints.push(format!(
                    "{}:{line}: {target}: there is no such file or heading",
                    document.path
                ));
            }
        }
    }
    complaints
}

/// `target` as seen from the document's folder, from the root.
fn resolve(document: &File, target: &str) -> String {
    let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The headings as they are linked to.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// A link to a Rust file whose text is code names something in that file: its last word must
/// stand there. Paths that are written as code must exist.
pub fn code_that_is_named_exists(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for document in documents(tree) {
        for Link { line, text, target } in links(&document.text) {
            let Some(code) = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) else {
                continue;
            };
            let Some(file) = tree.file(&resolve(document, target)) else { continue };
            let name = code.trim_end_matches("()").rsplit([':', '.']).next().unwrap_or(code);
            let is_path = code.contains('/') || code.ends_with(".rs");
            if file.path.ends_with(".rs")
                && !is_path
                && rust::lines_with(&file.text, name).is_empty()
            {
                complaints.push(format!(
                    "{}:{line}: {} has no `{name}` (any more)",
                    document.path, file.path
                ));
            }
        }
        for (line, path) in paths(&document.text) {
            if !tree.exists(path.trim_end_matches('/')) {
                complaints.push(format!("{}:{line}: there is no {path}", document.path));
            }
        }
    }
    complaints
}

/// Code spans that are paths from the root, without those that stand for many.
fn paths(text: &str) -> Vec<(usize, &str)> {
    let mut paths = Vec::new();
    for (at, line) in prose(text).into_iter().enumerate() {
        let spans = line.split('`').skip(1).step_by(2);
        paths.extend(
            spans
                .filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder)))
                .filter(|span| !span.contains(['<', '{', '*', ' ', '…', 'N', ':']))
                .map(|span| (at + 1, span)),
        );
    }
    paths
}

/// Decisions are numbered without gaps, one page each, and say why and what follows.
pub fn decisions_are_short(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for (at, (name, File { path, text })) in tree.below("docs/adr").into_iter().enumerate() {
        let number = at + 1;
        let heading = text.strip_prefix("# ").and_then(|rest| rest.split_once(". "));
        let numbered = heading.is_some_and(|(digits, _)| digits.parse() == Ok(number));
        if !name.starts_with(&format!("{number:04}-")) || !numbered {
            complaints.push(format!(
                "{path}: number {number} is next: docs/adr/{number:04}-….md, `# {number}. …`"
            ));
        }
        let lines = text.lines().count();
        if lines > ADR_LINES_MAX {
            complaints.push(format!("{path}: {lines} lines, at most {ADR_LINES_MAX}: one page"));
        }
        for part in ADR_PARTS.iter().filter(|part| !text.lines().any(|line| line == **part)) {
            complaints.push(format!("{path}: write `{part}`"));
        }
    }
    complaints
}

/// The page of promises: a test that it names is one that is run.
const PROMISES: &str = "docs/guarantees.md";

/// Every test that the page of promises names exists.
pub fn promised_tests_exist(tree: &Tree) -> Complaints {
    let Some(page) = tree.file(PROMISES) else { return vec![format!("{PROMISES} is missing")] };
    let sources: Vec<&File> = tree.files().filter(|file| file.path.ends_with(".rs")).collect();
    let exists = |name: &str| {
        let function = format!("fn {name}(");
        sources.iter().any(|source| source.text.contains(&function))
    };
    let spans = prose(&page.text).into_iter().flat_map(|line| line.split('`').skip(1).step_by(2));
    let tests = spans.filter(|span| {
        let word = span.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        word && span.contains('_')
    });
    let missing = tests.filter(|name| !exists(name));
    missing.map(|name| format!("{PROMISES}: there is no test {name}")).collect()
}

/// Has the glossary, a table below a heading of that name.
const GLOSSARY: &str = "ARCHITECTURE.md";

/// The glossary is in alphabetical order, and each of its terms leads into the code or a document, unless it is not built.
pub fn glossary_is_in_order_and_linked(tree: &Tree) -> Complaints {
    let text = tree.file(GLOSSARY).map_or("", |file| &*file.text);
    let section = text.split("\n## ").find_map(|section| section.strip_prefix("Glossary\n"));
    let rows = section.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| "));
    let rows: Vec<(&str, &str)> = rows.filter_map(|row| row.split_once(" | ")).skip(1).collect();
    if rows.is_empty() {
        return vec![format!("{GLOSSARY}: write a glossary")];
    }
    let words = |term: &str| -> Vec<String> {
        let term = term.to_lowercase();
        let words = term.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let pairs = rows.iter().zip(&rows[1..]);
    let unsorted = pairs.filter(|((before, _), (after, _))| words(before) > words(after));
    let unsorted =
        unsorted.map(|((before, _), (after, _))| format!("{GLOSSARY}: {after} before {before}"));
    let unlinked =
        rows.iter().filter(|(_, here)| !here.contains("](") && !here.contains("not built"));
    let unlinked = unlinked.map(|(term, _)| format!("{GLOSSARY}: {term}: link to its place"));
    unsorted.chain(unlinked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: (&str, &str) = ("docs/map.md", "# The map\n\n## Two words, and more\n");

    #[test]
    fn dead_links_are_found() {
        let with = |link: &str| {
            let text = format!("See {link}.\n```text\n[x](nowhere.md)\n```\n");
            links_lead_somewhere(&Tree::of([MAP, ("docs/adr/a.md", &*text)])).len()
        };
        for good in [
            "[m](../map.md)",
            "[m](../map.md#two-words-and-more)",
            "[d](../../docs)",
            "[w](https://a.b/c)",
        ] {
            assert_eq!(with(good), 0, "{good}");
        }
        for bad in ["[m](map.md)", "[m](../map.md#three)", "[m](#nothing) and [n](../map.md)"] {
            assert_eq!(with(bad), 1, "{bad}");
        }
    }

    #[test]
    fn a_promise_without_its_test_is_found() {
        let source = ("libs/a/tests/it/main.rs", "#[test]\nfn it_is_kept() {}\n");
        let with = |page: &str| promised_tests_exist(&Tree::of([source, (PROMISES, page)])).len();
        assert_eq!(with("By `it_is_kept`, see `cargo test` and `tests/tidy`.\n"), 0);
        assert_eq!(with("By `it_is_kept` and `it_was_never_written`.\n"), 1);
        assert_eq!(promised_tests_exist(&Tree::of([source])).len(), 1);
    }

    #[test]
    fn a_glossary_out_of_order_or_without_links_is_found() {
        let with = |rows: &str| {
            let text = format!("# A\n\n## Glossary\n\n| term | here |\n|---|---|\n{rows}\n## B\n");
            glossary_is_in_order_and_linked(&Tree::of([(GLOSSARY, &*text)])).len()
        };
        assert_eq!(
            with("| at-least-once | [a](a) |\n| Cache | not built |\n| key | [b](b) |\n"),
            0
        );
        assert_eq!(with("| cache | [a](a) |\n| bulkhead | [b](b) |\n"), 1);
        assert_eq!(with("| cache | somewhere |\n"), 1);
        assert_eq!(with(""), 1);
    }

    #[test]
    fn code_that_has_moved_is_found() {
        let code = ("services/cart/src/app.rs", "impl App { async fn place() {} }");
        let with =
            |text: &str| code_that_is_named_exists(&Tree::of([code, ("README.md", text)])).len();
        assert_eq!(with("[`App::place`](services/cart/src/app.rs), `services/cart/src/app.rs`"), 0);
        assert_eq!(with("[app](services/cart/src/app.rs), `services/<context>/src`"), 0);
        assert_eq!(with("[`App::put`](services/cart/src/app.rs)"), 1);
        assert_eq!(with("`services/cart/src/main.rs`"), 1);
    }

    #[test]
    fn long_and_misnumbered_decisions_are_found() {
        let page = |number: usize, lines: usize| {
            format!("# {number}. A\n{}\n{}", ADR_PARTS.join("\n"), "x\n".repeat(lines))
        };
        let tree =
            |name: &str, text: &str| Tree::of([("docs/adr/0001-a.md", &page(1, 9)), (name, text)]);
        assert!(decisions_are_short(&tree("docs/adr/0002-b.md", &page(2, 9))).is_empty());
        assert_eq!(decisions_are_short(&tree("docs/adr/0003-b.md", &page(3, 9))).len(), 1);
        assert_eq!(decisions_are_short(&tree("docs/adr/0002-b.md", &page(2, 99))).len(), 1);
        assert_eq!(decisions_are_short(&tree("docs/adr/0002-b.md", "# 2. B\n")).len(), 3);
    }
}
