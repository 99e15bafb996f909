//! A PSP under test and a customer of it: what the shop would be.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, request::Builder};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use psp::{Config, Server};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

/// Long enough for anything that is going to happen.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A folder that goes away with its owner.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("psp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.0.join("ledger.jsonl")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A PSP inside this test.
pub struct Psp {
    pub shop: Shop,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Psp {
    pub async fn start(folder: &Folder) -> Self {
        Self::start_with(Config::new(folder.path())).await
    }

    pub async fn start_with(config: Config) -> Self {
        let server = Server::bind(config).await.unwrap();
        let shop = Shop::new(server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async {
            if stopped.await.is_err() {
                std::future::pending().await // the test keeps only the shop: runs as long as the test
            }
        }));
        Self { shop, stop, task }
    }

    /// Stops it like SIGTERM does, within the time it promises.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(6), self.task).await.unwrap().unwrap().unwrap();
    }
}

/// A customer of the PSP.
#[derive(Clone)]
pub struct Shop {
    pub address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A status and a JSON body.
pub type Reply = (StatusCode, Value);

impl Shop {
    pub fn new(address: SocketAddr) -> Self {
        let client =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        Self { address, client }
    }

    /// The reply, or None when the connection ended without one.
    pub async fn try_send(
        &self,
        request: Builder,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Option<Reply> {
        let request = request.uri(format!("http://{}{path}", self.address));
        let request = request.body(Full::new(body.into())).unwrap();
        let reply = tokio::time::timeout(LIMIT, self.client.request(request))
            .await
            .expect("an answer in time");
        let (parts, body) = reply.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some((parts.status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    pub async fn send(&self, request: Builder, path: &str, body: impl Into<Bytes>) -> Reply {
        self.try_send(request, path, body).await.expect("a reply")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get("/"), path, "").await
    }

    pub async fn try_capture(&self, key: &str, body: &Value) -> Option<Reply> {
        self.try_send(keyed(key), "/v1/captures", body.to_string()).await
    }

    pub async fn capture(&self, key: &str, body: &Value) -> Reply {
        self.try_capture(key, body).await.expect("a reply")
    }

    /// Captures and returns the capture's id.
    pub async fn captured(&self, key: &str, minor_units: i64) -> String {
        let (status, body) = self.capture(key, &order("tok_approve", minor_units, key)).await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("captured")), "{body}");
        body["capture_id"].as_str().unwrap().to_owned()
    }

    pub async fn by_key(&self, key: &str) -> Reply {
        self.get(&format!("/v1/captures/by-key/{key}")).await
    }

    pub async fn void(&self, key: &str) -> Reply {
        self.send(Request::post("/"), &format!("/v1/captures/by-key/{key}/void"), "").await
    }

    pub async fn refund(&self, key: &str, capture_id: &str, minor_units: i64) -> Reply {
        let body = json!({"capture_id": capture_id, "amount": gbp(minor_units)});
        self.send(keyed(key), "/v1/refunds", body.to_string()).await
    }

    pub async fn set_behaviour(&self, behaviour: Value) -> Reply {
        self.send(json_request(Method::PUT), "/v1/behaviour", behaviour.to_string()).await
    }

    /// Every entry of the ledger, page by page.
    pub async fn ledger(&self) -> Vec<Value> {
        let (mut entries, mut after) = (Vec::new(), json!(0));
        loop {
            let (status, mut page) = self.get(&format!("/v1/ledger?after={after}&limit=7")).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            entries.append(page["entries"].as_array_mut().unwrap());
            after = page["next"].take();
            if after.is_null() {
                return entries;
            }
        }
    }

    pub async fn summary(&self, reference: &str) -> Value {
        self.get(&format!("/v1/ledger/summary?reference={reference}")).await.1
    }
}

pub fn json_request(method: Method) -> Builder {
    Request::builder().method(method).header("content-type", "application/json")
}

pub fn keyed(key: &str) -> Builder {
    json_request(Method::POST).header("idempotency-key", key)
}

pub fn gbp(minor_units: i64) -> Value {
    json!({"currency": "GBP", "minor_units": minor_units})
}

pub fn order(card_token: &str, minor_units: i64, reference: &str) -> Value {
    json!({"card_token": card_token, "amount": gbp(minor_units), "reference": reference})
}
