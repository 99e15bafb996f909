//! Readiness, and the admin port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use net::ConfigSource;
use service::{Health, Options, Shutdown, Tasks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_process_is_ready_when_all_its_parts_are() {
    let shutdown = Shutdown::new();
    let health = Health::new(&shutdown);
    let database = health.component("database");
    assert_eq!(failing(&health).await, ["database", "started"]);
    health.ready(true);
    assert_eq!(failing(&health).await, ["database"]);
    database.ready();
    assert!(failing(&health).await.is_empty());
    database.failing("connection refused");
    assert_eq!(health.failing().await["database"], "connection refused");
    database.ready();
    shutdown.drain();
    assert_eq!(failing(&health).await, ["stopping"]);
}

#[tokio::test(start_paused = true)]
async fn checks_are_asked_and_may_not_take_long() {
    let health = Health::new(&Shutdown::new());
    health.ready(true);
    let there = Arc::new(AtomicBool::new(false));
    let bus = Arc::clone(&there);
    health.check("bus", move || {
        let there = bus.load(Ordering::SeqCst);
        async move { if there { Ok(()) } else { Err(anyhow::anyhow!("disconnected")) } }
    });
    assert_eq!(health.failing().await["bus"], "disconnected");
    there.store(true, Ordering::SeqCst);
    assert!(failing(&health).await.is_empty());
    health.check("slow", std::future::pending);
    assert_eq!(health.failing().await["slow"], "no answer");
}

#[tokio::test]
async fn the_admin_port_answers() {
    let tasks = Tasks::new(&Shutdown::new());
    let options =
        Options { admin_listen: service::reserve().expect("a port"), ..Options::default() };
    let health = service::admin::start(&options, &tasks, no_tls()).await.expect("it starts");
    let admin = options.admin_listen;
    assert!(get(admin, "/livez").await.starts_with("HTTP/1.1 200 "));
    let unready = get(admin, "/readyz").await;
    assert!(
        unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("started: starting\n"),
        "{unready}"
    );
    health.ready(true);
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 200 "));
    let metrics = get(admin, "/metrics").await;
    assert!(metrics.contains("\n# TYPE process_open_fds gauge\nprocess_open_fds "), "{metrics}");
    assert!(get(admin, "/other").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn the_admin_port_outlives_the_work_and_nothing_else() {
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(&shutdown);
    let options =
        Options { admin_listen: service::reserve().expect("a port"), ..Options::default() };
    service::admin::start(&options, &tasks, no_tls()).await.expect("it starts");
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    tasks.spawn("work", async { Ok(finished.await?) });
    let ending = tokio::spawn(tasks.finish());
    shutdown.request();
    assert!(get(options.admin_listen, "/readyz").await.contains("stopping: asked to stop"));
    finish.send(()).expect("the work waits");
    ending.await.expect("no panic").expect("a good end");
    let closed = async {
        while TcpStream::connect(options.admin_listen).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the port is closed");
}

/// On loopback nobody asks for a certificate.
fn no_tls() -> ConfigSource {
    Arc::new(|| unreachable!("a handshake on loopback"))
}

async fn failing(health: &Health) -> Vec<&'static str> {
    health.failing().await.into_keys().collect()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}
