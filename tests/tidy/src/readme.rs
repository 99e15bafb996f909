//! README's shell blocks are run unchanged. The blocks marked `sh` are one session of bash, from
//! top to bottom: a variable set in one is there in the next. What cannot be run is marked `text`.

use crate::{Complaints, Tree};

/// A shell block of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its first command, from 1.
    pub line: usize,
    /// Its commands.
    pub commands: String,
}

/// The languages that a fence may name.
const LANGUAGES: [&str; 8] = ["sh", "text", "rust", "toml", "proto", "sql", "json", "mermaid"];

/// What a reader need not have installed, or a test must not do.
const NOT_RUN: [(&str, &str); 5] = [
    ("sudo ", "nothing here needs root"),
    ("jq ", "a new machine has no jq"),
    ("docker ", "nothing here needs containers"),
    ("cargo souk test", "the test that runs this block would run itself: mark it text"),
    ("apt-get ", "nothing here installs anything: mark it text"),
];

/// The blocks marked `sh`, in their order.
pub fn shell_blocks(markdown: &str) -> Vec<Block> {
    let blocks = fences(markdown).into_iter().filter(|(_, language, _)| *language == "sh");
    blocks.map(|(line, _, commands)| Block { line: line + 1, commands }).collect()
}

/// The same as one script. It stops at the first command that fails, and says on standard error
/// which block it has come to.
pub fn script(markdown: &str) -> String {
    let begin = "set -euo pipefail\n".to_owned();
    shell_blocks(markdown).into_iter().fold(begin, |script, Block { line, commands }| {
        script + &format!("echo 'README.md:{line}' >&2\n{commands}")
    })
}

/// Line of the fence, language, content.
fn fences(markdown: &str) -> Vec<(usize, &str, String)> {
    let (mut found, mut open) = (Vec::new(), None);
    for (at, line) in markdown.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((at + 1, language.trim(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, _, content))) => {
                content.push_str(line);
                content.push('\n');
            }
            (None, None) => {}
        }
    }
    found.extend(open);
    found
}

/// Every block says what it is, and the shell blocks can be run on a new machine.
pub fn blocks_can_be_run(tree: &Tree) -> Complaints {
    let Some(readme) = tree.file("README.md") else {
        return vec!["README.md is missing: it is what people read first".into()];
    };
    let mut complaints = Vec::new();
    for (line, language, _) in fences(&readme.text) {
        if !LANGUAGES.contains(&language) {
            let known = LANGUAGES.join(", ");
            complaints.push(format!("README.md:{line}: mark the block as one of {known}"));
        }
    }
    let blocks = shell_blocks(&readme.text);
    if blocks.is_empty() {
        complaints.push("README.md: show how it is used, in blocks marked sh".into());
    }
    for Block { line, commands } in blocks {
        for (word, why) in NOT_RUN.iter().filter(|(word, _)| commands.contains(word)) {
            complaints.push(format!("README.md:{line}: `{}`: {why}", word.trim()));
        }
    }
    complaints
}

/// `cargo souk VERB` is a verb that there is, in every document.
pub fn verbs_exist(tree: &Tree) -> Complaints {
    let Some(cli) = tree.file("deploy/souk/src/cli.rs") else {
        return vec!["deploy/souk/src/cli.rs is missing: it defines the verbs".into()];
    };
    let verbs = verbs(&cli.text);
    let mut complaints = Vec::new();
    for document in tree.files().filter(|file| file.path.ends_with(".md")) {
        for (at, line) in document.text.lines().enumerate() {
            for (_, rest) in line.split('`').flat_map(|span| span.split_once("cargo souk ")) {
                let verb = rest
                    .split(|c: char| !c.is_alphanumeric() && c != '-')
                    .next()
                    .unwrap_or_default();
                if !verb.is_empty() && !verbs.contains(&verb.to_owned()) {
                    complaints.push(format!(
                        "{}:{}: there is no `cargo souk {verb}`",
                        document.path,
                        at + 1
                    ));
                }
            }
        }
    }
    complaints
}

fn verbs(cli: &str) -> Vec<String> {
    let body = cli.split("pub enum Verb {").nth(1).unwrap_or_default();
    let lines = body.lines().take_while(|line| *line != "}").map(str::trim);
    let variants = lines.filter(|line| line.starts_with(char::is_uppercase));
    let names = variants.filter_map(|line| line.split(['(', ',']).next());
    names.map(kebab).collect()
}

/// `DeadLetters` is `dead-letters` on the command line.
fn kebab(name: &str) -> String {
    let mut verb = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !verb.is_empty() {
            verb.push('-');
        }
        verb.extend(letter.to_lowercase());
    }
    verb
}

/// Figures that were to be measured have been.
pub fn nothing_is_left_to_fill_in(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for document in tree.files().filter(|file| file.path.ends_with(".md")) {
        for (at, line) in document.text.lines().enumerate().filter(|(_, line)| line.contains("@@"))
        {
            complaints.push(format!("{}:{}: fill in {}", document.path, at + 1, line.trim()));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# A\n```sh\na=1\n```\ntext\n```text\nb\n```\n```sh\necho $a\n```\n";

    #[test]
    fn shell_blocks_are_one_session() {
        let blocks = shell_blocks(README);
        assert_eq!(blocks.iter().map(|block| block.line).collect::<Vec<_>>(), [3, 10]);
        let script = script(README);
        assert!(script.starts_with("set -euo pipefail\n"));
        assert!(script.find("a=1\n").unwrap() < script.find("echo $a\n").unwrap(), "{script}");
        assert!(!script.contains("\nb\n"));
    }

    #[test]
    fn blocks_that_cannot_be_run_are_found() {
        let with = |text: &str| blocks_can_be_run(&Tree::of([("README.md", text)])).len();
        assert_eq!(with(README), 0);
        assert_eq!(with(&README.replace("```text", "```")), 1);
        assert_eq!(with(&README.replace("```sh", "```text")), 1);
        for (word, _) in NOT_RUN {
            assert_eq!(with(&README.replace("a=1", word)), 1, "{word}");
        }
    }

    #[test]
    fn a_verb_that_does_not_exist_is_found() {
        let cli = (
            "deploy/souk/src/cli.rs",
            "pub enum Verb {\n    /// Up\n    Up(Up),\n    Status,\n}\n    Dance,\n",
        );
        let with = |text: &str| verbs_exist(&Tree::of([cli, ("README.md", text)])).len();
        assert_eq!(with("`cargo souk up --port 1` and `cargo souk status`; `cargo souk`"), 0);
        assert_eq!(with("cargo souk dance"), 1);
    }

    #[test]
    fn a_figure_that_was_not_measured_is_found() {
        let tree = Tree::of([("README.md", "It takes @@minutes@@.\n")]);
        assert_eq!(nothing_is_left_to_fill_in(&tree).len(), 1);
    }
}
