//! Just enough of Rust's grammar to tell code from comments, strings and tests. What is taken out leaves blanks: what is kept
//! stands where it stood.

use std::ops::Range;

/// The text without what stands in comments, strings and character literals; same lines.
pub fn code(text: &str) -> String {
    keep(text, Kind::Code)
}

/// What stands in string literals, and nothing else; same lines.
pub fn strings(text: &str) -> String {
    keep(text, Kind::Literal)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

fn keep(text: &str, kept: Kind) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut kept_text = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = token(&chars, at);
        for &c in &chars[at..end] {
            push(&mut kept_text, c, kind == kept);
        }
        at = end;
    }
    kept_text
}

/// The character, or blanks as long as it is.
fn push(text: &mut String, c: char, shown: bool) {
    if shown || c == '\n' {
        text.push(c);
    } else {
        text.extend(std::iter::repeat_n(' ', c.len_utf8()));
    }
}

/// The token that begins at `at`, and where it ends.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (Kind::Comment, find(chars, at, |c| c == '\n')),
        '/' if next == Some('*') => (Kind::Comment, block_comment(chars, at)),
        '"' => (Kind::Literal, string(chars, at)),
        'r' if begins_word(chars, at) => match raw_string(chars, at) {
            Some(end) => (Kind::Literal, end),
            None => (Kind::Code, at + 1),
        },
        'b' | 'c' if begins_word(chars, at) && next == Some('r') => {
            match raw_string(chars, at + 1) {
                Some(end) => (Kind::Literal, end),
                None => (Kind::Code, at + 1),
            }
        }
        '\'' if next == Some('\\') => {
            (Kind::Literal, (find(chars, at + 3, |c| c == '\'') + 1).min(chars.len()))
        }
        '\'' if chars.get(at + 2) == Some(&'\'') => (Kind::Literal, at + 3),
        _ => (Kind::Code, at + 1),
    }
}

fn find(chars: &[char], from: usize, is: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&at| is(chars[at])).unwrap_or(chars.len())
}

fn begins_word(chars: &[char], at: usize) -> bool {
    at == 0 || !is_word(chars[at - 1])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(chars: &[char], begin: usize) -> usize {
    let (mut depth, mut at) = (0, begin);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string(chars: &[char], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `r"…"`, `r#"…"#`; none for a word or a raw identifier that begins with r.
fn raw_string(chars: &[char], begin: usize) -> Option<usize> {
    let quote = find(chars, begin + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let hashes = quote - begin - 1;
    let closes = |at: usize| {
        chars[at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    let close = (quote + 1..chars.len()).find(|&at| closes(at))?;
    Some(close + 1 + hashes)
}

const TEST_ONLY: &str = "#[cfg(test)]";

/// Splits code into what is shipped and what is for tests only.
pub fn split_tests(code: &str) -> (String, String) {
    let tests = test_items(code);
    let side =
        |of_tests: bool| only(code, |at| tests.iter().any(|it| it.contains(&at)) == of_tests);
    (side(false), side(true))
}

/// What stands in the string literals of what is shipped.
pub fn shipped_strings(text: &str) -> String {
    let tests = test_items(&code(text));
    only(&strings(text), |at| !tests.iter().any(|it| it.contains(&at)))
}

fn only(text: &str, shown: impl Fn(usize) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        push(&mut kept, c, shown(at));
    }
    kept
}

/// Where the items stand that are for tests only.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let (mut items, mut from) = (Vec::new(), 0);
    while let Some(at) = code[from..].find(TEST_ONLY) {
        let begin = from + at;
        from = begin + item_end(&code[begin..]);
        items.push(begin..from);
    }
    items
}

/// Where the item ends that an attribute stands before: at its `;`, or at the brace that closes it.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                let statement = code[at + 1..].starts_with(';'); // `use a::{b, c};`
                if depth == 0 && !statement {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The files (without `.rs`) that `path` declares as modules for tests only.
pub fn test_modules(path: &str, code: &str) -> Vec<String> {
    let folder = match path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder,
        _ => path.trim_end_matches(".rs"),
    };
    let declared = code.match_indices(TEST_ONLY).filter_map(|(at, _)| {
        let item = &code[at + TEST_ONLY.len()..at + item_end(&code[at..])];
        let name = item.trim().strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(format!("{folder}/{name}"))
    });
    declared.collect()
}

/// The lines, from 1, on which `needle` stands as a word of its own (as far as it begins and ends
/// with letters).
pub fn lines_with(code: &str, needle: &str) -> Vec<usize> {
    let found = code.lines().enumerate().filter(|(_, line)| has_word(line, needle));
    found.map(|(at, _)| at + 1).collect()
}

fn has_word(line: &str, needle: &str) -> bool {
    let edge =
        |c: Option<char>, own: Option<char>| !own.is_some_and(is_word) || !c.is_some_and(is_word);
    line.match_indices(needle).any(|(at, _)| {
        edge(line[..at].chars().next_back(), needle.chars().next())
            && edge(line[at + needle.len()..].chars().next(), needle.chars().next_back())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text =
            "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \"j\"\"# 'k' '\\'' l::<'m>() br\"n\"";
        let squeezed: Vec<String> = code(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(squeezed, ["a", "e", "l::<'m>()"]);
        assert_eq!(code(text).lines().count(), 2);
        assert!(strings(text).contains("i \"j\"") && !strings(text).contains(" f"));
    }

    #[test]
    fn tests_are_split_off() {
        let code = "use a;\n#[cfg(test)]\nuse b::{c, d};\nfn e() {}\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nfn g() {}\n";
        let (shipped, tests) = split_tests(code);
        for (word, is_shipped) in
            [("a", true), ("c", false), ("e()", true), ("f()", false), ("g()", true)]
        {
            assert_eq!(!lines_with(&shipped, word).is_empty(), is_shipped, "{word}: {shipped}");
            assert_eq!(lines_with(&tests, word).is_empty(), is_shipped, "{word}: {tests}");
        }
        assert_eq!(lines_with(&shipped, "g()"), [9]);
    }

    #[test]
    fn what_is_kept_stands_where_it_stood() {
        let text = "f(\"é\"); // ö\ng(\"h\");\n#[cfg(test)]\nmod t { i(\"j\"); }\nk(\"l\");\n";
        let shipped = split_tests(&code(text)).0;
        for kept in [&code(text), &strings(text), &shipped, &shipped_strings(text)] {
            assert_eq!(kept.len(), text.len());
            let as_it_was = |(at, c): (usize, char)| c == ' ' || text[at..].starts_with(c);
            assert!(kept.char_indices().all(as_it_was), "{kept}");
        }
        let strings = shipped_strings(text);
        assert_eq!(strings.split_whitespace().collect::<String>(), "\"é\"\"h\"\"l\"");
    }

    #[test]
    fn words_are_whole_words() {
        assert_eq!(lines_with("async_nats::x\nasync fn", "async"), [2]);
        assert_eq!(lines_with("x.await;", ".await"), [1]);
        assert_eq!(lines_with("my_proto::x", "proto::"), [] as [usize; 0]);
    }
}
