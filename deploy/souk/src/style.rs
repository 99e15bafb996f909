//! How the command speaks: plain aligned lines; colour only for a person at a terminal.

use std::io::{IsTerminal, Write};

/// Whether output may be coloured: on a terminal, unless `NO_COLOR` is set.
pub fn coloured() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Good news.
pub fn green(text: &str) -> String {
    paint("32", text)
}

/// Something to look at.
pub fn yellow(text: &str) -> String {
    paint("33", text)
}

/// Bad news.
pub fn red(text: &str) -> String {
    paint("31", text)
}

/// A heading.
pub fn bold(text: &str) -> String {
    paint("1", text)
}

/// What need not be read.
pub fn dim(text: &str) -> String {
    paint("2", text)
}

fn paint(code: &str, text: &str) -> String {
    if coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Progress of one step: a line that is written over on a terminal, lines one by one elsewhere.
#[derive(Debug, Default)]
pub struct Progress {
    terminal: bool,
}

impl Progress {
    /// On standard error, so that standard output holds results only.
    pub fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal() }
    }

    /// Shows where things are.
    pub fn show(&self, line: &str) {
        let mut out = std::io::stderr();
        let written =
            if self.terminal { write!(out, "\r\x1b[K  {line}") } else { writeln!(out, "  {line}") };
        // There is nobody to tell that standard error is closed.
        let _ = written.and_then(|()| out.flush());
    }

    /// Ends the line.
    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
