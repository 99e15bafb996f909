//! `cargo souk logs SERVICE [-f]`: what a process wrote, made legible.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use souk::cli::Logs;
use souk::style::{bold, dim, green, red, yellow};
use stores::{Home, Server, Stores};

use crate::layout::Layout;
use crate::plan;
use crate::state::State;

const POLL: Duration = Duration::from_millis(100);
/// What is shown of what was written before.
const LINES: usize = 200;
const BYTES: u64 = 256 << 10;

/// The whole verb. Ends when nobody reads what it writes.
///
/// # Errors
/// When there is no log.
pub fn run(home: &Home, options: &Logs) -> Result<()> {
    let files = files(home, &options.service);
    if files.is_empty() {
        bail!("{} has written no log yet", options.service);
    }
    let several = files.len() > 1;
    let mut tails =
        files.iter().map(|path| Tail::open(path, several)).collect::<Result<Vec<_>>>()?;
    let shown = show(&mut tails, options.follow);
    match shown {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        shown => Ok(shown?),
    }
}

/// One for each copy of a service.
fn files(home: &Home, service: &str) -> Vec<PathBuf> {
    let store = Server::ALL.into_iter().find(|server| server.key() == service);
    if let Some(server) = store {
        let path = Stores::log_file(&home.stores(), server);
        return if path.is_file() { vec![path] } else { Vec::new() };
    }
    let layout = Layout::at(&home.run());
    // An earlier shop may have had more copies.
    let state = State::read(&layout).ok().flatten();
    let copies = state.map_or(1, |state| state.of(service).count().max(1));
    let names = (0..copies).map(|number| plan::name(service, number));
    names.map(|name| layout.log_of(&name)).filter(|path| path.is_file()).collect()
}

fn show(tails: &mut [Tail], follow: bool) -> io::Result<()> {
    let mut out = io::stdout();
    for tail in &mut *tails {
        let lines = tail.read()?;
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            writeln!(out, "{}{}", tail.name, pretty(line))?;
        }
    }
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(POLL);
        for tail in &mut *tails {
            for line in tail.read()? {
                writeln!(out, "{}{}", tail.name, pretty(&line))?;
            }
        }
        out.flush()?;
    }
}

/// The end of a file that may grow, or be set aside for a new one.
struct Tail {
    path: PathBuf,
    /// In front of each line, when there are several files.
    name: String,
    position: u64,
    rest: Vec<u8>,
}

impl Tail {
    fn open(path: &Path, named: bool) -> Result<Self> {
        let length = path.metadata()?.len();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self {
            path: path.to_owned(),
            name: if named { format!("{stem:<11}") } else { String::new() },
            position: length.saturating_sub(BYTES),
            rest: Vec::new(),
        })
    }

    /// The whole lines that are new.
    fn read(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        if file.metadata()?.len() < self.position {
            self.position = 0;
            self.rest.clear();
        }
        file.seek(SeekFrom::Start(self.position))?;
        self.position += file.read_to_end(&mut self.rest)? as u64;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

/// A line of JSON as a person reads it; anything else as it is.
fn pretty(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return line.to_owned() };
    // psp keeps its own fields in an object of their own.
    if let Some(Value::Object(inner)) = fields.remove("fields") {
        fields.extend(inner);
    }
    let mut take = |name: &str| fields.remove(name).map(text).unwrap_or_default();
    let time = take("timestamp");
    let (level, message, trace) = (take("level"), take("message"), take("trace_id"));
    let (_, _, _) = (take("service"), take("target"), take("span_id"));
    let clock = time.get(11..23).unwrap_or(&time);
    let mut line = format!("{} {} {message}", dim(clock), coloured(&level));
    line.push_str(&rest(fields));
    if !trace.is_empty() {
        line.push_str(&dim(&format!(" trace={trace}")));
    }
    line
}

fn rest(fields: Map<String, Value>) -> String {
    let field =
        |(name, value): (String, Value)| format!(" {}{}", dim(&format!("{name}=")), text(value));
    fields.into_iter().map(field).collect()
}

/// Control characters are shown: what a customer wrote must not repaint a terminal.
fn text(value: Value) -> String {
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let visible = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(visible).collect()
}

fn coloured(level: &str) -> String {
    let level = format!("{level:>5}");
    match level.trim() {
        "ERROR" => red(&level),
        "WARN" => yellow(&level),
        "INFO" => green(&level),
        _ => bold(&level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::bare;

    #[test]
    fn json_becomes_a_line_for_people_and_the_rest_stays() {
        let json = r#"{"timestamp":"2026-11-21T09:01:02.345678Z","level":"INFO","service":"order",
            "message":"placed","lines":3,"trace_id":"ab","target":"order::app"}"#;
        assert_eq!(bare(&pretty(json)), "09:01:02.345  INFO placed lines=3 trace=ab");
        let psp = r#"{"timestamp":"2026-11-21T09:01:02.345Z","level":"WARN",
            "fields":{"message":"charged","key":"k"}}"#;
        assert_eq!(bare(&pretty(psp)), "09:01:02.345  WARN charged key=k");
        assert_eq!(pretty("order: not ready"), "order: not ready");
        assert_eq!(pretty("[1,2]"), "[1,2]");
    }

    #[test]
    fn what_was_written_cannot_repaint_the_terminal() {
        let line = pretty("{\"level\":\"INFO\",\"message\":\"a\\u001b[2Jb\"}");
        assert!(!bare(&line).contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn a_file_is_followed_when_it_grows_and_when_it_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("order.log");
        std::fs::write(&path, "one\ntw").expect("written");
        let mut tail = Tail::open(&path, false).expect("there");
        assert_eq!(tail.read().expect("legible"), ["one"]);
        std::fs::write(&path, "one\ntwo\nthree\n").expect("written");
        assert_eq!(tail.read().expect("legible"), ["two", "three"]);
        std::fs::write(&path, "new\n").expect("written");
        assert_eq!(tail.read().expect("legible"), ["new"]);
    }
}
