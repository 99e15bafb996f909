//! Certificates change while processes run.

use std::fs;

use rpc::{Identity, Peer, ServerOptions};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::callee::{Callee, GET, call};
use crate::raw;
use crate::world::{World, eventually, load, targets};

struct Swap {
    world: World,
    address: std::net::SocketAddr,
    stop: CancellationToken,
}

impl Swap {
    async fn start() -> Self {
        let world = World::new();
        let identity = world.identity("product");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        identity.watch(stop.clone());
        let routes = Callee::echo().routes();
        tokio::spawn(rpc::serve(
            listener,
            identity,
            routes,
            ServerOptions::default(),
            stop.clone(),
        ));
        Self { world, address, stop }
    }

    async fn shown(&self) -> CertificateDer<'static> {
        raw::shown_by(self.address, &self.world.path("product")).await
    }
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_go_on() {
    let swap = Swap::start().await;
    let channel = swap.world.channel("gateway", &[swap.address]);
    assert_eq!(call(&channel, GET, "before").await.unwrap(), "before");
    let old = swap.shown().await;

    swap.world.issue("product", &swap.world.path("product"));
    eventually("the new certificate", async || {
        assert_eq!(call(&channel, GET, "meanwhile").await.unwrap(), "meanwhile");
        swap.shown().await != old
    })
    .await;
    assert_eq!(call(&channel, GET, "after").await.unwrap(), "after");
    let fresh = swap.world.channel("gateway", &[swap.address]);
    assert_eq!(call(&fresh, GET, "fresh").await.unwrap(), "fresh");
    swap.stop.cancel();
}

#[tokio::test]
async fn files_that_do_not_fit_change_nothing() {
    let swap = Swap::start().await;
    let old = swap.shown().await;
    let failures = || {
        let text = telemetry::render_metrics();
        let line = "souk_rpc_tls_reloads_total{outcome=\"failed\"} ";
        text.lines().find_map(|l| l.strip_prefix(line)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let dir = swap.world.path("product");
    let other = swap.world.path("other");
    swap.world.issue("product", &other);
    // Half a rotation: the certificate is new, the key is not.
    let before = failures();
    fs::copy(other.join("cert.pem"), dir.join("cert.pem")).unwrap();
    eventually("a failed reload", async || failures() > before).await;
    assert_eq!(swap.shown().await, old);
    // The other half arrives.
    fs::copy(other.join("key.pem"), dir.join("key.pem")).unwrap();
    eventually("the new certificate", async || swap.shown().await != old).await;
    swap.stop.cancel();
}

#[tokio::test]
async fn a_caller_uses_its_new_certificate_for_new_connections() {
    let world = World::new();
    let who = Callee::new(|request| async move {
        Ok(Peer::of(&request).map_or_else(String::new, |peer| peer.name().to_owned()))
    });
    let server = world.serve(who, ServerOptions::default()).await;
    let identity: Identity = world.identity("gateway");
    let stop = CancellationToken::new();
    identity.watch(stop.clone());
    let channel = rpc::connect("product", &targets(&[server.address]), &identity);
    assert_eq!(call(&channel, GET, "").await.unwrap(), "gateway");

    world.issue("operator", &world.path("gateway"));
    eventually("a new connection shows the new certificate", async || {
        let fresh = rpc::connect("product", &targets(&[server.address]), &identity);
        call(&fresh, GET, "").await.unwrap() == "operator"
    })
    .await;
    assert_eq!(call(&channel, GET, "").await.unwrap(), "gateway");
    stop.cancel();
}

#[tokio::test]
async fn unusable_files_are_named() {
    let world = World::new();
    let dir = world.path("product");
    world.issue("product", &dir);
    load(&dir);
    let options = rpc::tls::Options { tls_dir: dir.clone() };
    fs::write(dir.join("key.pem"), "no key").unwrap();
    let error = Identity::load(&options).unwrap_err();
    assert!(error.to_string().contains("key.pem"), "{error}");
    fs::write(dir.join("ca.pem"), "").unwrap();
    let error = Identity::load(&options).unwrap_err();
    assert_eq!(error.to_string(), "ca.pem holds no certificate");
    fs::remove_file(dir.join("cert.pem")).unwrap();
    let error = Identity::load(&options).unwrap_err();
    assert!(error.to_string().contains("cert.pem"), "{error}");
}
