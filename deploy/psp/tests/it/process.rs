//! The binary: signals, exit codes, kill -9.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::shop::{Folder, Shop, order};

/// A process that is killed with its test.
struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl Process {
    fn start(folder: &Folder) -> Self {
        let mut child = command(&["--ledger-dir", folder.path().to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = logged_address(&mut log);
        Self { child, log, address }
    }

    fn signal(&self, name: &str) {
        let killed =
            Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

/// Where it listens, by its own log.
fn logged_address(log: &mut impl BufRead) -> SocketAddr {
    log.lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|line| line["fields"]["message"] == "listening")
        .and_then(|line| line["fields"]["address"].as_str()?.parse().ok())
        .expect("it listens")
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_psp"));
    command.args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

#[tokio::test]
async fn sigterm_drains_and_exits_0() {
    let folder = Folder::new();
    let mut process = Process::start(&folder);
    let shop = Shop::new(process.address);
    shop.captured("key", 255).await;
    assert_eq!(shop.get("/livez").await.0, StatusCode::OK);
    assert_eq!(shop.get("/readyz").await.0, StatusCode::OK);
    let _silent = std::net::TcpStream::connect(process.address).unwrap(); // a probe that never says a word
    let started = Instant::now();
    process.signal("-TERM");
    let status = process.child.wait().unwrap();
    let mut rest = String::new();
    process.log.read_to_string(&mut rest).unwrap();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(started.elapsed() < Duration::from_secs(5), "{rest}");
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let folder = Folder::new();
    let process = Process::start(&folder);
    let shop = Shop::new(process.address);
    let mut requests = JoinSet::new();
    for number in 0..2000 {
        let (shop, key) = (shop.clone(), format!("key-{number}"));
        requests.spawn(async move {
            let reply = shop.try_capture(&key, &order("tok_approve", 1, "order")).await;
            reply.map(|reply| (key, reply))
        });
    }
    let mut answered = Vec::new();
    while let Some(reply) = requests.join_next().await {
        answered.extend(reply.unwrap());
        if answered.len() == 300 {
            process.signal("-KILL");
        }
    }
    assert!((300..2000).contains(&answered.len()), "{} were answered", answered.len());
    drop(process);

    let process = Process::start(&folder);
    let shop = Shop::new(process.address);
    for (key, reply) in answered {
        assert_eq!(shop.by_key(&key).await, reply);
    }
}

#[test]
fn usage_errors_exit_64_and_other_errors_1() {
    let missing = run(&[]);
    assert_eq!(missing.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("--ledger-dir"));
    let ledger = ["--ledger-dir", "unused"];
    let unusual = [
        &["--nonsense"][..],
        &["--listen", "nowhere"],
        &["--webhook-url", "http://localhost/hook"],
        &["--webhook-url", "ftp://localhost/hook", "--webhook-secret-file", "secret"],
    ];
    for arguments in unusual {
        assert_eq!(run(&[&ledger, arguments].concat()).status.code(), Some(64), "{arguments:?}");
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    let nowhere = run(&["--ledger-dir", "/dev/null/ledger"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert!(
        said.starts_with("psp: creating /dev/null/ledger") && said.trim_end().lines().count() == 1,
        "{said}"
    );
}

#[test]
fn the_healthcheck_tells_ready_from_gone() {
    let folder = Folder::new();
    let process = Process::start(&folder);
    let address = process.address.to_string();
    assert_eq!(run(&["healthcheck", "--listen", &address]).status.code(), Some(0));
    let by_environment = command(&["healthcheck"]).env("PSP_LISTEN", &address).output().unwrap();
    assert_eq!(by_environment.status.code(), Some(0));
    drop(process);
    assert_eq!(run(&["healthcheck", "--listen", &address]).status.code(), Some(1));
}
