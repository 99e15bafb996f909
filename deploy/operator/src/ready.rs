//! Waiting until processes say that they are ready.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::board::Board;
use crate::plan::Task;

const POLL: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Of the log of a process that did not come up.
const LOG_LINES: usize = 8;

/// What a process says to /readyz: nothing when it is ready, else why not.
pub async fn ask(admin: SocketAddr) -> Result<(), String> {
    let answer = timeout(ANSWER_MAX, get(admin)).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(body.trim().replace('\n', "; ")),
    }
}

async fn get(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Waits until a process is ready.
///
/// # Errors
/// When it dies, or is not ready within `limit`; with the end of its log.
pub async fn wait(task: &Task, board: &Board, log: &Path, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let Err(reason) = ask(task.admin).await else { return Ok(()) };
        let entry = board.entry(&task.name);
        let died = entry.is_some_and(|entry| entry.process.is_none() && entry.started_unix_ms > 0);
        if died {
            bail!("{} did not start; {}", task.name, tail(log));
        }
        if Instant::now() >= deadline {
            bail!("{} is not ready ({reason}); {}", task.name, tail(log));
        }
        sleep(POLL).await;
    }
}

/// `the end of <file>:` and its last lines.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(16 << 10)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    format!("the end of {}:\n{end}", log.display())
}
