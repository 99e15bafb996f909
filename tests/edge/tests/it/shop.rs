//! The shop behind the edge, and its people.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use operator::api::{Api, Product, bearer};
use operator::http::{Answer, Client, empty, full};
use operator::secrets::STAFF_EMAIL;
use operator::{Options, Shop, catalogue};
use serde_json::{Value, json};
use stores::{Home, Server, Stores};

use crate::Edge;

/// The two of them.
pub const GATEWAYS: [&str; 2] = ["gateway", "gateway-2"];

pub const LIMIT: Duration = Duration::from_secs(30);

/// A shop with two gateways, and an edge in front of them.
pub struct Front {
    pub shop: Shop,
    pub edge: Edge,
    folder: PathBuf,
}

impl Front {
    pub async fn open() -> Result<Self> {
        let home = Home::find()?;
        let tools = stores::provide(&home, &Server::ALL, &|line| eprintln!("{line}"))?;
        let folder = home.path().join("edge");
        Stores::wipe(&folder.join("stores"))?; // of a test that was killed
        let mut options = Options::in_folder(&folder, tools)?;
        options.replicas = "gateway=2".parse().map_err(anyhow::Error::msg)?;
        let drain = ("gateway".to_owned(), "SOUK_DRAIN_WAIT".to_owned(), "3s".to_owned());
        options.environment.push(drain); // as in docker-compose.yml
        let missing = "the services are not built: cargo build --workspace --bins";
        ensure!(options.programs.join("gateway").is_file(), missing);
        let shop = Shop::start(options).await.context("starting the shop")?;
        let authority = shop.certificates_of("gateway").join("ca.pem");
        let edge = Edge::start(&gateways(&shop), &authority).await?;
        catalogue::fill(&Api::new(&edge.url), &shop.staff_password()?).await?;
        Ok(Self { shop, edge, folder })
    }

    pub async fn close(self, failed: bool) -> Result<()> {
        if failed {
            println!("the logs are in {}", self.folder.join("run/logs").display());
            return self.shop.stop().await;
        }
        self.shop.stop().await?;
        Stores::wipe(&self.folder.join("stores"))?;
        Ok(std::fs::remove_dir_all(&self.folder)?)
    }

    /// The folder with the certificate of the gateways, and of who vouches for it.
    pub fn certificate(&self) -> PathBuf {
        self.shop.certificates_of("gateway")
    }

    /// An edge of one's own, that trusts the authority of this shop.
    pub async fn edge(&self, gateways: &[SocketAddr]) -> Result<Edge> {
        Edge::start(gateways, &self.certificate().join("ca.pem")).await
    }

    /// A client of the edge.
    pub fn client(&self) -> Client {
        Client::new(&self.edge.url)
    }

    pub async fn product(&self, sku: &str) -> Result<Product> {
        let api = Api::new(&self.shop.urls()[0]);
        let found: Value = api.get(&format!("/v1/products?sku={sku}"), None).await?.json()?;
        Ok(serde_json::from_value(found["products"][0].clone())?)
    }

    pub async fn staff(&self) -> Result<String> {
        Api::new(&self.edge.url).sign_in(STAFF_EMAIL, &self.shop.staff_password()?).await
    }

    /// How many requests of a route a gateway has answered since it was started, by its own count.
    pub async fn answered_by(&self, name: &str, method: &str, route: &str) -> Result<u64> {
        let labels =
            [format!("http_request_method=\"{method}\""), format!("http_route=\"{route}\"")];
        Ok(counted(&self.shop.metrics(name).await?, &labels))
    }
}

fn counted(metrics: &str, labels: &[String]) -> u64 {
    let of_requests = |line: &&str| line.starts_with("http_server_request_duration_seconds_count");
    let lines = metrics.lines().filter(of_requests);
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

pub fn gateways(shop: &Shop) -> Vec<SocketAddr> {
    let entries = shop.processes().into_iter();
    entries.filter_map(|entry| entry.task.tls).collect()
}

/// One request, sent once, whatever the answer is.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Result<Answer> {
    let mut request = client.request(method, path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", bearer(token)?);
    }
    let body = match body {
        Some(body) => full(serde_json::to_vec(body)?),
        None => empty(),
    };
    client.send(request.body(body)?, LIMIT).await
}

/// GET, sent once.
pub async fn get(client: &Client, path: &str) -> Result<Answer> {
    send(client, Method::GET, path, None, None).await
}

/// Somebody with an account; the access token.
pub async fn sign_up(client: &Client, name: &str) -> Result<String> {
    let api = Api::new(client.base());
    let email = format!("{name}@example.com");
    let body = json!({ "email": email, "password": "correct horse", "name": "Zohra" });
    api.post("/v1/users", None, &body).await?;
    api.sign_in(&email, "correct horse").await
}
