//! `examples/idle.rs` as a child process.

use std::io::{BufRead, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

/// The certificate of `idle`.
pub static TLS_DIR: LazyLock<PathBuf> = LazyLock::new(|| certificates("shop", "idle"));

/// A folder with a certificate of that name, from an authority.
pub fn certificates(authority: &str, name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("service").join(authority);
    let authority = certs::Authority::open_or_create(dir.join("authority")).expect("an authority");
    let dir = dir.join(name);
    authority.issue(name, &dir).expect("a certificate");
    dir
}

/// What a process left behind.
#[derive(Debug)]
pub struct End {
    pub code: Option<i32>,
    pub stderr: String,
    pub log: String,
    pub took: Duration,
}

/// A running `idle` whose log is kept.
pub struct Idle {
    child: Child,
    pub admin: SocketAddr,
    log: Arc<Mutex<String>>,
    /// A word for every line of the log; closed when there will be no more, as the process has ended.
    lines: Receiver<()>,
}

/// The command, without a port that anybody could know.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(args)
        .env_clear()
        .env("SOUK_TLS_DIR", &*TLS_DIR)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `idle` to its end.
pub fn run(args: &[&str]) -> End {
    let mut command = command(args);
    wait(command.spawn().expect("the example starts"))
}

impl Idle {
    /// Starts `idle` with a behaviour and waits until it says that it is ready.
    pub fn ready(behaviour: &str, args: &[&str]) -> Self {
        let idle = Self::start(behaviour, args);
        idle.answers("ready", |health| health.code == Some(0));
        idle
    }

    /// Starts `idle` with a behaviour and an admin port on loopback.
    pub fn start(behaviour: &str, args: &[&str]) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, behaviour, args)
    }

    /// The same with the admin port at another address of this machine.
    pub fn start_at(address: Ipv4Addr, behaviour: &str, args: &[&str]) -> Self {
        let admin = TcpListener::bind((address, 0))
            .and_then(|port| port.local_addr())
            .expect("a free port");
        let mut command =
            command(&["--behaviour", behaviour, "--admin-listen", &admin.to_string()]);
        let mut child = command.args(args).spawn().expect("the example starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let (line, lines) = channel();
        keep(stdout, Arc::clone(&log), line);
        Self { child, admin, log, lines }
    }

    pub fn healthcheck(&self) -> End {
        run(&["--admin-listen", &self.admin.to_string(), "healthcheck"])
    }

    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while reading").clone()
    }

    /// The messages of the log, in order.
    pub fn messages(log: &str) -> Vec<String> {
        let parsed =
            log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        parsed.filter_map(|line| Some(line.get("message")?.as_str()?.to_owned())).collect()
    }

    /// Waits for a line of the log.
    pub fn says(&self, words: &str) {
        let limit = Instant::now() + LIMIT;
        while !self.log().contains(words) {
            let more = self.lines.recv_timeout(limit.saturating_duration_since(Instant::now()));
            assert!(more.is_ok(), "it never said {words:?}; its log:\n{}", self.log());
        }
    }

    /// Asks for its health until the answer is right. Asking starts a process, which takes a while.
    pub fn answers(&self, what: &str, holds: impl Fn(&End) -> bool) {
        let limit = Instant::now() + LIMIT;
        while !holds(&self.healthcheck()) {
            assert!(Instant::now() < limit, "not {what}; its log:\n{}", self.log());
        }
    }

    /// Waits for the process to exit by itself.
    pub fn end(mut self) -> End {
        let started = Instant::now();
        let limit = started + LIMIT;
        let mut more = Ok(());
        while more.is_ok() {
            more = self.lines.recv_timeout(limit.saturating_duration_since(Instant::now()));
        }
        let ended = more == Err(RecvTimeoutError::Disconnected);
        assert!(ended, "still running; its log:\n{}", self.log());
        let code = self.child.wait().expect("it can be waited for").code();
        let took = started.elapsed();
        let mut stderr = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        End { code, stderr, log: self.log(), took }
    }
}

/// Keeps a log while it is written.
fn keep(stdout: impl BufRead + Send + 'static, log: Arc<Mutex<String>>, said: Sender<()>) {
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            let mut log = log.lock().expect("no panic while reading");
            log.push_str(&line);
            log.push('\n');
            let _ = said.send(()); // nobody may be waiting any more
        }
    });
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: Child) -> End {
    let started = Instant::now();
    let output = child.wait_with_output().expect("it runs");
    End {
        code: output.status.code(),
        stderr: String::from_utf8(output.stderr).expect("text"),
        log: String::from_utf8(output.stdout).expect("text"),
        took: started.elapsed(),
    }
}

/// Beside the test: target/<profile>/deps/it-… and target/<profile>/examples/idle.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let program = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("in a target folder")
        .join("examples/idle");
    assert!(
        program.exists(),
        "{} is not built: `cargo test -p service` builds it",
        program.display()
    );
    program
}
