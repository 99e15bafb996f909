//! A real Redis reads what is written for it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use stores::{Home, Server};
use tempfile::TempDir;
use testkit::eventually;

use crate::{read, secrets};

const STARTED_MAX: Duration = Duration::from_secs(10);
const LIST: &str = "souk:revoked-families:1";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

/// With the folder where the container has it, at a socket instead of the container's port.
fn start(dir: &TempDir, socket: &Path) -> Running {
    let home = Home::find().expect("tests run inside the workspace");
    let tools = stores::provide(&home, &[Server::Redis], &|line| eprintln!("{line}"));
    let program = tools.expect("the program").redis.expect("it was provided");
    let folder = dir.path().join("redis");
    let config = read(dir, "redis/redis.conf");
    let config = config.replace("/run/souk", &folder.display().to_string());
    let config = config.replace("tls-port 6379", "tls-port 0");
    std::fs::write(folder.join("here.conf"), config).expect("a file");
    let mut command = Command::new(&program.path);
    let libraries = std::env::join_paths(&program.libraries).expect("folders");
    command.env("LD_LIBRARY_PATH", libraries).arg(folder.join("here.conf"));
    command.arg("--unixsocket").arg(socket).args(["--save", "", "--appendonly", "no"]);
    let log = File::create(socket.with_extension("log")).expect("a file");
    command.current_dir(&folder).stdout(log);
    Running(command.spawn().expect("it starts"))
}

/// As soon as it listens.
async fn connect(socket: &Path) -> UnixStream {
    eventually("Redis listens", STARTED_MAX, async || UnixStream::connect(socket).ok()).await
}

/// A command after signing in: the first line of its answer.
async fn redis(socket: &Path, login: &str, command: &str) -> String {
    let mut stream = connect(socket).await;
    write!(stream, "AUTH {login}\r\n{command}\r\nQUIT\r\n").expect("written");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let signed_in = lines.next().expect("an answer to AUTH");
    assert_eq!(signed_in, "+OK", "{login}");
    lines.next().expect("an answer")
}

#[tokio::test]
async fn a_real_redis_has_the_users_that_the_urls_name() {
    let dir = TempDir::new().expect("a folder");
    let (code, said) = secrets(dir.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let sockets = TempDir::new().expect("a folder");
    let socket = sockets.path().join("redis");
    let _running = start(&dir, &socket);
    let readers = Vec::from_iter(stores::redis_readers());
    for user in stores::redis_users() {
        let url = read(&dir, &format!("{user}/redis-url"));
        let login = url["rediss://".len()..].split('@').next().expect("a login").replace(':', " ");
        let page = redis(&socket, &login, &format!("ZRANGEBYSCORE {LIST} -inf +inf")).await;
        assert_eq!(page == "*0", readers.contains(&user), "{user}: {page}");
        let added = redis(&socket, &login, &format!("ZADD {LIST} NX 1 {user}")).await;
        assert_eq!(added == ":1", user == "user", "{user}: {added}");
        // For the next one.
        redis(&socket, &read(&dir, "redis/password"), "FLUSHALL").await;
    }
}
