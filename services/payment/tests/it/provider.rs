//! The provider: the simulator, in this process, with a ledger in a folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kernel::OrderId;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Provider {
    folder: PathBuf,
    pub address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Provider {
    pub async fn start(folder: PathBuf) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut provider = Self { folder, address: any_port(), running: None, client };
        provider.start_again().await;
        provider
    }

    /// On the same port, with the same ledger.
    pub async fn start_again(&mut self) {
        let config = psp::Config { listen: self.address, ..psp::Config::new(&self.folder) };
        let server = psp::Server::bind(config).await.unwrap();
        self.address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serve = server.serve(async { stopped.await.unwrap_or_default() });
        self.running = Some((stop, tokio::spawn(serve)));
    }

    pub async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        let reply = self.client.request(request).await.unwrap();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    /// Sets what goes wrong; what is left out goes well.
    pub async fn behave(&self, behaviour: Value) {
        let set = self.send("PUT", "/v1/behaviour", behaviour.to_string()).await;
        assert!(set.get("code").is_none(), "{set}");
    }

    /// What the provider's ledger says of an order.
    pub async fn of(&self, order: OrderId) -> Tally {
        let path = format!("/v1/ledger/summary?reference={order}");
        let summary = self.send("GET", &path, String::new()).await;
        let count = |what: &str| summary[what].as_u64().unwrap();
        let sum = |what: &str| summary["sums"][0][what].as_i64().unwrap_or_default();
        Tally {
            captures: count("captures"),
            refunds: count("refunds"),
            net: sum("captured_minor_units") - sum("refunded_minor_units"),
        }
    }

    /// What is recorded under the order's key: captured, declined, voided, or nothing.
    pub async fn decision(&self, order: OrderId) -> Option<String> {
        let path = format!("/v1/captures/by-key/{order}");
        let said = self.send("GET", &path, String::new()).await;
        said["status"].as_str().map(str::to_owned)
    }

    /// How often each order was charged.
    pub async fn charged(&self) -> BTreeMap<String, usize> {
        let (mut charged, mut after) = (BTreeMap::new(), 0);
        loop {
            let path = format!("/v1/ledger?after={after}&limit=1000");
            let page = self.send("GET", &path, String::new()).await;
            for entry in page["entries"].as_array().unwrap() {
                if entry["kind"] == "capture" {
                    *charged.entry(entry["reference"].as_str().unwrap().to_owned()).or_default() +=
                        1;
                }
            }
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => return charged,
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub captures: u64,
    pub refunds: u64,
    pub net: i64,
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
