//! A console on a free port, for a folder in which no shop runs.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use console::{Config, Server};
use http::Method;
use operator::http::{Answer, Client, full};
use serde_json::Value;
use tempfile::TempDir;
use testkit::eventually;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Console {
    pub address: SocketAddr,
    pub folder: TempDir,
    client: Client,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<anyhow::Result<()>>,
}

/// A request; as the page sends it unless something is said against it.
pub struct Asked {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

pub fn get(path: &str) -> Asked {
    asked(Method::GET, path, Vec::new())
}

pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Asked {
    asked(Method::POST, path, body.into()).with("content-type", "application/json")
}

fn asked(method: Method, path: &str, body: Vec<u8>) -> Asked {
    let asked = Asked { method, path: path.to_owned(), headers: Vec::new(), body };
    asked.with("authorization", &format!("Bearer {TOKEN}"))
}

impl Asked {
    /// With this header instead of another.
    pub fn with(self, name: &'static str, value: &str) -> Self {
        let mut asked = self.without(name);
        asked.headers.push((name, value.to_owned()));
        asked
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    pub fn host(self, host: &str) -> Self {
        self.with("host", host)
    }

    pub fn no_token(self) -> Self {
        self.without("authorization")
    }
}

pub fn json(answer: &Answer) -> Value {
    answer.json().expect("JSON")
}

impl Console {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let token_file = folder.path().join("token");
        fs::write(&token_file, format!("{TOKEN}\n")).expect("written");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let run: PathBuf = folder.path().to_owned();
        let config = Config { listen, run, token_file, log: String::new() };
        let server = Server::bind(&config).await.expect("bound");
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        let client = Client::new(&format!("http://{address}"));
        Self { address, folder, client, stop, serving }
    }

    /// The only host that it answers to.
    pub fn host(&self) -> String {
        format!("console.localhost:{}", self.address.port())
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    pub async fn send(&self, asked: Asked) -> Answer {
        let mut request = self.client.request(asked.method, &asked.path);
        if !asked.headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.host());
        }
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let request = request.body(full(asked.body)).expect("a request");
        self.client.send(request, PATIENCE).await.expect("an answer")
    }

    /// Asks until the answer is as wanted.
    pub async fn eventually(&self, asked: Asked, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&asked.path, PATIENCE, async || {
            let again = Asked { headers: asked.headers.clone(), ..get(&asked.path) };
            let value = json(&self.send(again).await);
            wanted(&value).then_some(value)
        })
        .await
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        let ended = timeout(PATIENCE, self.serving).await.expect("in time");
        ended.expect("no panic").expect("no error");
    }
}
