//! What one statement of a migration does to those who do not know of it. A statement that is not
//! known here is refused, so that somebody thinks about it.

use std::collections::BTreeSet;

/// The words of a statement in lower case, without comments; what stands in quotes is one word.
pub(super) type Statement = Vec<String>;

/// What a part of a statement does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Older binaries do not notice.
    Expands,
    /// Takes away what they may use.
    Contracts(String),
    /// Adds a rule, of this name, that they may break.
    Tightens(String, String),
    /// Never; with what to do instead.
    Refused(String, &'static str),
}

/// What a migration makes and drops.
pub(super) struct Names {
    tables: BTreeSet<String>,
    added: BTreeSet<String>,
    dropped: BTreeSet<String>,
}

impl Names {
    pub(super) fn of(statements: &[Statement]) -> Self {
        let mut names = Self { tables: [].into(), added: [].into(), dropped: [].into() };
        for statement in statements {
            match words(statement).as_slice() {
                ["create", "table", table, ..] | ["create", "materialized", "view", table, ..] => {
                    names.tables.insert((*table).to_owned());
                }
                ["alter", "table", _, ..] => {
                    for action in actions(statement) {
                        match words(action).as_slice() {
                            ["add", "constraint", name, ..] => names.added.insert((*name).into()),
                            ["drop", "constraint", name, ..] => {
                                names.dropped.insert((*name).into())
                            }
                            _ => false,
                        };
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn has_table(&self, name: &str) -> bool {
        self.tables.contains(name)
    }

    /// Dropped and added again: a check that allows more than before.
    fn replaces(&self, constraint: &str) -> bool {
        self.added.contains(constraint) && self.dropped.contains(constraint)
    }
}

/// Cuts a migration into its statements.
pub(super) fn statements(sql: &str) -> Vec<Statement> {
    let mut all = vec![Statement::new()];
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '-' if rest.starts_with("--") => ("", rest.find('\n').unwrap_or(rest.len())),
            '\'' => ("'", end_of_string(rest)),
            '$' => ("$", end_of_dollars(rest)),
            c if is_letter(c) => {
                let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
                (&rest[..end], end)
            }
            c if c.is_whitespace() => ("", c.len_utf8()),
            c => (&rest[..c.len_utf8()], c.len_utf8()),
        };
        match word {
            ";" => all.push(Statement::new()),
            "" => {}
            _ => all.last_mut().into_iter().for_each(|last| last.push(word.to_lowercase())),
        }
        rest = &rest[after..];
    }
    all.retain(|statement| !statement.is_empty());
    all
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// A quote that is doubled begins another string right behind the first, which is as good.
fn end_of_string(rest: &str) -> usize {
    rest[1..].find('\'').map_or(rest.len(), |at| at + 2)
}

/// `$$ … $$`, `$body$ … $body$`.
fn end_of_dollars(rest: &str) -> usize {
    let Some(tag) = rest[1..].find('$').map(|at| &rest[..at + 2]) else { return rest.len() };
    rest[tag.len()..].find(tag).map_or(rest.len(), |at| tag.len() * 2 + at)
}

/// The words that say something: without `if [not] exists` and `only`.
fn words(statement: &[String]) -> Vec<&str> {
    let mut words: Vec<&str> = statement.iter().map(String::as_str).collect();
    for filler in [&["if", "not", "exists"][..], &["if", "exists"], &["only"]] {
        if let Some(at) = words.windows(filler.len()).position(|window| window == filler) {
            words.drain(at..at + filler.len());
        }
    }
    words
}

/// What a statement changes: one thing, or as many as an `alter table` has actions.
pub(super) fn change(statement: &Statement, names: &Names) -> Vec<Change> {
    let words = words(statement);
    if words.contains(&"concurrently") {
        let instead =
            "a migration is one transaction at a service's start, and this cannot be in one";
        return vec![Change::Refused(head(&words), instead)];
    }
    let one = match words.as_slice() {
        ["alter", "table", table, ..] if names.has_table(table) => Change::Expands,
        ["alter", "table", table, ..] => {
            let actions = actions(statement).into_iter();
            return actions.map(|action| alteration(table, action, names)).collect();
        }
        ["create", "unique", "index", index, "on", table, ..] if !names.has_table(table) => {
            Change::Tightens(head(&words), (*index).to_owned())
        }
        ["create", "trigger", name, ..] => Change::Tightens(head(&words), (*name).to_owned()),
        ["create", "or", "replace", "function" | "view", ..]
        | [
            "create",
            "table" | "index" | "unique" | "function" | "view" | "materialized" | "schema"
            | "sequence",
            ..,
        ]
        | ["insert" | "update" | "select" | "comment" | "grant", ..] => Change::Expands,
        ["drop" | "delete" | "truncate" | "revoke", ..] => Change::Contracts(head(&words)),
        _ => unknown(&words),
    };
    vec![one]
}

/// The actions of an `alter table`, which commas divide.
fn actions(statement: &[String]) -> Vec<&[String]> {
    let after_name = statement.iter().position(|word| !is_before_name(word));
    let actions = &statement[after_name.map_or(statement.len(), |at| at + 1)..];
    let mut depth = 0;
    let parts = actions.split(|word| {
        depth += i32::from(word == "(") - i32::from(word == ")");
        depth == 0 && word == ","
    });
    parts.collect()
}

fn is_before_name(word: &str) -> bool {
    ["alter", "table", "if", "exists", "only"].contains(&word)
}

fn alteration(table: &str, action: &[String], names: &Names) -> Change {
    let words = words(action);
    let what = format!("alter table {table} {}", head(&words));
    match words.as_slice() {
        ["add", "constraint", name, ..] if !names.replaces(name) => {
            Change::Tightens(what, (*name).to_owned())
        }
        ["add", "primary" | "unique" | "check" | "foreign" | "exclude", ..] => {
            Change::Refused(what, "name the constraint")
        }
        ["drop", "constraint", name, ..] if names.replaces(name) => Change::Expands,
        ["add", "constraint", ..] => Change::Expands,
        ["add", column @ ..] if must_be_given(column) => Change::Refused(
            what,
            "the release before does not write it: let it be null, or have a default",
        ),
        ["rename", ..] => {
            Change::Refused(what, "both names are in use at once: add the new one, and copy")
        }
        ["alter", rest @ ..] => alteration_of_column(what, rest),
        ["add" | "validate" | "attach", ..] | ["set" | "reset", "(", ..] => Change::Expands,
        ["drop", ..] => Change::Contracts(what),
        _ => unknown(&[&["alter", "table", table], &words[..]].concat()),
    }
}

fn alteration_of_column(what: String, words: &[&str]) -> Change {
    let words = words.strip_prefix(&["column"]).unwrap_or(words);
    match words {
        [_, "type", ..] | [_, "set", "data", "type", ..] => Change::Refused(
            what,
            "the release before reads and writes the old type: add a column, and copy",
        ),
        [_, "set", "default" | "statistics", ..] => Change::Expands,
        [_, "set", "not", "null"] | [_, "drop", "default"] => Change::Contracts(what),
        [column, "drop", "not", "null"] => Change::Tightens(what, (*column).to_owned()),
        _ => unknown(&[&["alter", "table … alter"], words].concat()),
    }
}

/// Whether a new column has no value unless one is written.
fn must_be_given(column: &[&str]) -> bool {
    let not_null = column.windows(3).any(|words| words[0] != "is" && words[1..] == ["not", "null"]);
    not_null && !column.iter().any(|word| ["default", "generated"].contains(word))
}

fn unknown(words: &[&str]) -> Change {
    let instead = "nobody has said yet what this does to the release before: say it in tests/tidy/src/migrations";
    Change::Refused(head(words), instead)
}

/// Enough of a statement to find it by.
fn head(words: &[&str]) -> String {
    words[..words.len().min(5)].join(" ")
}
