//! The ends of all log files, interleaved by time. Memory is bounded: so many bytes of each file, read once a second at most,
//! however many pages ask.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Of each file.
const BYTES_MAX: u64 = 256 << 10;
/// So many are told.
const LINES_MAX: usize = 300;
/// A longer message is cut.
const CHARS_MAX: usize = 2_000;
const GOOD_FOR: Duration = Duration::from_secs(1);

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Line {
    /// Whose: the name of its file.
    pub process: String,
    /// When, in microseconds since 1970. A line without a time has that of the line before.
    pub at_unix_us: i64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`; empty for a line that is no JSON.
    pub level: String,
    /// What it says.
    pub message: String,
    /// In which trace.
    pub trace_id: Option<String>,
    /// The rest.
    pub fields: Map<String, Value>,
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Later than this, in microseconds since 1970.
    #[serde(default)]
    after: i64,
    /// Of this process.
    #[serde(default)]
    process: String,
    /// As bad as this, or worse.
    #[serde(default)]
    level: String,
    /// With this text somewhere, in any case.
    #[serde(default)]
    q: String,
}

/// An answer.
#[derive(Debug, PartialEq, Serialize)]
pub struct Lines {
    /// Newest last.
    pub lines: Vec<Line>,
    /// The processes that have log files.
    pub processes: Vec<String>,
}

#[derive(Debug)]
struct Read {
    at: Instant,
    lines: Arc<Vec<Line>>,
}

/// The log files of one folder.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    read: Mutex<Option<Read>>,
}

impl Logs {
    /// Of this folder, whether or not it exists.
    pub fn of(folder: PathBuf) -> Self {
        Self { folder, read: Mutex::default() }
    }

    /// The newest lines that are wanted.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub async fn lines(&self, filter: &Filter) -> Result<Lines> {
        let lines = self.all().await?;
        let wanted: Vec<&Line> =
            lines.iter().rev().filter(|line| filter.wants(line)).take(LINES_MAX).collect();
        let mut processes: Vec<String> = lines.iter().map(|line| line.process.clone()).collect();
        processes.sort();
        processes.dedup();
        Ok(Lines { lines: wanted.into_iter().rev().cloned().collect(), processes })
    }

    async fn all(&self) -> Result<Arc<Vec<Line>>> {
        let mut read = self.read.lock().await;
        if let Some(Read { at, lines }) = &*read
            && at.elapsed() < GOOD_FOR
        {
            return Ok(Arc::clone(lines));
        }
        *read = None; // not two of them in memory
        let folder = self.folder.clone();
        let lines = Arc::new(spawn_blocking(move || read_all(&folder)).await??);
        *read = Some(Read { at: Instant::now(), lines: Arc::clone(&lines) });
        Ok(lines)
    }
}

fn read_all(folder: &Path) -> io::Result<Vec<Line>> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let mut lines = Vec::new();
    for path in files.flatten().map(|file| file.path()) {
        if path.extension().is_some_and(|extension| extension == "log") {
            lines.extend(read_end(&path).unwrap_or_default()); // it may be rotated just now
        }
    }
    lines.sort_by_key(|line| line.at_unix_us); // stable: within a file they stay as they are
    Ok(lines)
}

fn read_end(path: &Path) -> io::Result<Vec<Line>> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let from = meta.len().saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let process = path.file_stem().unwrap_or_default().to_string_lossy();
    let cut = usize::from(from > 0); // the first is a part of a line
    let texts = text.lines().skip(cut).filter(|text| !text.is_empty());
    let mut lines: Vec<Line> = texts.map(|text| line(&process, text)).collect();
    let mut at = meta.modified().map(unix_us).unwrap_or_default();
    if let Some(first) = lines.iter().find(|line| line.at_unix_us != 0) {
        at = first.at_unix_us;
    }
    for line in &mut lines {
        at = if line.at_unix_us == 0 { at } else { line.at_unix_us };
        line.at_unix_us = at;
    }
    Ok(lines)
}

fn unix_us(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or_default()
}

/// A line of JSON taken apart; any other is a message.
fn line(process: &str, text: &str) -> Line {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
        return Line { process: process.to_owned(), message: short(text), ..Line::default() };
    };
    // psp and the console keep their own fields in an object of their own.
    if let Some(Value::Object(inner)) = fields.remove("fields") {
        fields.extend(inner);
    }
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let at = OffsetDateTime::parse(&take("timestamp"), &Rfc3339);
    let at = at.map(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or_default());
    let (level, message, trace_id) = (take("level"), take("message"), take("trace_id"));
    for name in ["service", "target", "span_id"] {
        take(name);
    }
    Line {
        process: process.to_owned(),
        at_unix_us: at.unwrap_or_default(),
        level,
        message: short(&message),
        trace_id: Some(trace_id).filter(|id| !id.is_empty()),
        fields,
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Worse is more; a line without a level is as bad as information.
fn badness(level: &str) -> u8 {
    match level {
        "ERROR" => 4,
        "WARN" => 3,
        "DEBUG" => 1,
        "TRACE" => 0,
        _ => 2,
    }
}

impl Filter {
    fn wants(&self, line: &Line) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.q.to_lowercase());
        line.at_unix_us > self.after
            && (self.process.is_empty() || line.process == self.process)
            && (self.level.is_empty() || badness(&line.level) >= badness(&self.level))
            && (self.q.is_empty()
                || has(&line.message)
                || line.trace_id.as_deref().is_some_and(has)
                || has(&Value::Object(line.fields.clone()).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"timestamp":"2026-11-21T09:01:02.345678Z","level":"INFO","service":"order","message":"placed","lines":3,"trace_id":"ab","target":"order::app"}"#;
    const SECOND: &str = r#"{"timestamp":"2026-11-21T09:01:02.345Z","level":"WARN","fields":{"message":"charged","key":"K9"}}"#;

    fn logs(files: &[(&str, &str)]) -> (tempfile::TempDir, Logs) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let logs = Logs::of(folder.path().to_owned());
        (folder, logs)
    }

    async fn messages(logs: &Logs, filter: &Filter) -> Vec<String> {
        let lines = logs.lines(filter).await.expect("read").lines;
        lines.into_iter().map(|line| line.message).collect()
    }

    #[tokio::test]
    async fn lines_of_all_files_are_in_the_order_of_their_times() {
        let order = format!("{FIRST}\npanicked at src/x.rs\n");
        let (_folder, logs) = logs(&[("order.log", &order), ("psp.log", SECOND), ("a.txt", "no")]);
        let told = logs.lines(&Filter::default()).await.expect("read");
        let first = &told.lines[1];
        assert_eq!((&*first.process, &*first.message), ("order", "placed"));
        assert_eq!(first.trace_id.as_deref(), Some("ab"));
        assert_eq!(Value::Object(first.fields.clone()), serde_json::json!({"lines": 3}));
        let texts: Vec<&str> = told.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(texts, ["charged", "placed", "panicked at src/x.rs"]);
        assert_eq!(told.lines[2].at_unix_us, first.at_unix_us, "that of the line before");
        assert_eq!(told.processes, ["order", "psp"]);
    }

    #[tokio::test]
    async fn lines_can_be_asked_for_by_process_level_text_and_time() {
        let (_folder, logs) = logs(&[("order.log", FIRST), ("psp.log", SECOND)]);
        for (filter, expected) in [
            (Filter { process: "psp".into(), ..Filter::default() }, vec!["charged"]),
            (Filter { level: "WARN".into(), ..Filter::default() }, vec!["charged"]),
            (Filter { level: "INFO".into(), ..Filter::default() }, vec!["charged", "placed"]),
            (Filter { q: "k9".into(), ..Filter::default() }, vec!["charged"]),
            (Filter { q: "AB".into(), ..Filter::default() }, vec!["placed"]),
            (Filter { after: 1_795_251_662_345_000, ..Filter::default() }, vec!["placed"]),
        ] {
            assert_eq!(messages(&logs, &filter).await, expected, "{filter:?}");
        }
    }

    #[tokio::test]
    async fn of_a_long_file_the_end_is_read_and_of_many_lines_the_newest() {
        let long: String = (0..20_000).map(|n| format!("line number {n}\n")).collect();
        let (_folder, logs) = logs(&[("order.log", &long)]);
        assert!(logs.all().await.expect("read").len() < 20_000);
        let told = messages(&logs, &Filter::default()).await;
        assert_eq!(told.len(), LINES_MAX);
        assert_eq!(told.last().map(String::as_str), Some("line number 19999"));
        assert_eq!(short(&"é".repeat(CHARS_MAX + 1)).chars().count(), CHARS_MAX + 1);
    }

    #[tokio::test]
    async fn a_shop_that_has_written_nothing_has_no_lines() {
        let logs = Logs::of(PathBuf::from("/nowhere"));
        assert!(messages(&logs, &Filter::default()).await.is_empty());
    }
}
