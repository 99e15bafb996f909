//! A gateway with a shop behind it, for one test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Once;
use std::time::Duration;

use certs::Authority;
use clap::Parser as _;
use proto::cart::v1::cart_service_server::CartServiceServer;
use proto::order::v1::order_service_server::OrderServiceServer;
use proto::payment::v1::payment_service_server::PaymentServiceServer;
use proto::product::v1::Product;
use proto::user::v1::user_service_server::UserServiceServer;
use rpc::{Identity, Routes, ServerOptions};
use service::Shutdown;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::shop::{Shop, money};
use crate::spy::Spied;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    config: gateway::Config,
}

pub struct World {
    pub shop: Arc<Shop>,
    pub address: SocketAddr,
    pub tls_address: SocketAddr,
    pub shutdown: Shutdown,
    pub gateway: JoinHandle<anyhow::Result<()>>,
    /// What stands behind.
    pub services: Shutdown,
    authority: Authority,
    certificates: TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A gateway that is told this as well.
    pub async fn with(options: &[&str]) -> Self {
        telemetry();
        let certificates = TempDir::new().unwrap();
        let authority = Authority::open_or_create(certificates.path().join("ca")).unwrap();
        let (shop, services) = (Shop::new(), Shutdown::new());
        let mut args = vec!["gateway".to_owned()];
        for name in ["product", "user", "cart", "order", "payment"] {
            let dir = certificates.path().join(name);
            authority.issue(name, &dir).unwrap();
            let identity = Identity::load(&rpc::tls::Options { tls_dir: dir }).unwrap();
            let address = serve(routes(name, Arc::clone(&shop)), identity, &services).await;
            args.extend([format!("--{name}-urls"), address.to_string()]);
        }
        let dir = certificates.path().join("gateway");
        authority.issue("gateway", &dir).unwrap();
        let (address, tls_address) = (service::reserve().unwrap(), service::reserve().unwrap());
        args.extend(["--tls-dir".to_owned(), dir.to_str().unwrap().to_owned()]);
        args.extend(["--listen".to_owned(), address.to_string()]);
        args.extend(["--tls-listen".to_owned(), tls_address.to_string()]);
        // Nobody asks for products but the test; `options` may say so.
        if !options.contains(&"--product-audit-interval") {
            args.extend(["--product-audit-interval", "0"].map(str::to_owned));
        }
        args.extend(options.iter().map(ToString::to_string));

        let (config, shutdown) = (Cli::parse_from(args).config, Shutdown::new());
        let gateway = tokio::spawn(gateway::run(config, shutdown.clone()));
        Self { shop, address, tls_address, shutdown, gateway, services, authority, certificates }
    }

    /// Where the gateway has its certificate.
    pub fn tls_dir(&self) -> PathBuf {
        self.certificates.path().join("gateway")
    }

    /// Another certificate in its place.
    pub fn renew_certificate(&self) {
        self.authority.issue("gateway", self.tls_dir()).unwrap();
    }

    /// A world with this many products, the first of which is `ids()[0]`.
    pub async fn with_products(count: usize) -> (Self, Vec<String>) {
        Self::with_products_and(count, &[]).await
    }

    /// The same, with these options of the gateway.
    pub async fn with_products_and(count: usize, options: &[&str]) -> (Self, Vec<String>) {
        let world = Self::with(options).await;
        let products: Vec<_> = (1..=count).map(product).collect();
        let ids = products.iter().map(|product| product.product_id.clone()).collect();
        world.shop.state().products = products;
        (world, ids)
    }

    /// Ends the gateway; how long that took.
    pub async fn stop(&mut self) -> Duration {
        let began = Instant::now();
        self.shutdown.request();
        (&mut self.gateway).await.unwrap().unwrap();
        began.elapsed()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.request();
        self.services.request();
    }
}

pub fn product(number: usize) -> Product {
    Product {
        product_id: kernel::ProductId::mint().to_string(),
        sku: format!("CUP-{number}"),
        name: format!("Cup {number}"),
        description: "Holds tea.".into(),
        category: "kitchen".into(),
        price: money(255),
        version: 3,
        retired: false,
        available: 12,
        previous_price: None,
    }
}

fn routes(name: &str, shop: Arc<Shop>) -> Routes {
    match name {
        "product" => Routes::new(Spied::new(shop)),
        "user" => Routes::new(UserServiceServer::from_arc(shop)),
        "cart" => Routes::new(CartServiceServer::from_arc(shop)),
        "order" => Routes::new(OrderServiceServer::from_arc(shop)),
        _ => Routes::new(PaymentServiceServer::from_arc(shop)),
    }
}

async fn serve(routes: Routes, identity: Identity, shutdown: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServerOptions::default();
    tokio::spawn(rpc::serve(listener, identity, routes, options, shutdown.token()));
    address
}

fn telemetry() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let options = telemetry::Options { log: "off".into(), ..Default::default() };
        let hook = std::panic::take_hook(); // telemetry's own writes to the log, which is off
        std::mem::forget(telemetry::init("gateway", &options));
        std::panic::set_hook(hook);
    });
}

/// Waits until `check` holds.
pub async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    testkit::eventually(what, Duration::from_secs(10), async || check().then_some(())).await;
}
