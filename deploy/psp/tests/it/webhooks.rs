use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, routing::post, serve::Listener};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{HeaderMap, StatusCode};
use psp::{Config, Server};
use rcgen::{CertifiedKey, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::shop::{Folder, LIMIT, Psp, gbp, order};

const SECRET: &str = "whsec_test";

/// The shop's end of the webhooks.
struct Receiver {
    inbox: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    to_refuse: Arc<AtomicU32>,
    url: String,
}

#[derive(Clone)]
struct Door {
    inbox: mpsc::UnboundedSender<(HeaderMap, Bytes)>,
    to_refuse: Arc<AtomicU32>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (receiver, router) = Self::new(url);
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// One that answers to TLS alone, with a certificate of its own.
    async fn encrypted(certificate: &CertifiedKey<KeyPair>) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/hook", tcp.local_addr().unwrap());
        let (receiver, router) = Self::new(url);
        let acceptor = acceptor(certificate);
        tokio::spawn(async move { axum::serve(Encrypted { tcp, acceptor }, router).await });
        receiver
    }

    fn new(url: String) -> (Self, Router) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let to_refuse = Arc::new(AtomicU32::new(0));
        let door = Door { inbox: sender, to_refuse: Arc::clone(&to_refuse) };
        let router = Router::new().route("/hook", post(receive)).with_state(door);
        (Self { inbox, to_refuse, url }, router)
    }

    fn config(&self, folder: &Folder) -> Config {
        let secret_file = folder.path().join("secret");
        std::fs::write(&secret_file, format!("{SECRET}\n")).unwrap();
        Config {
            webhook_url: Some(self.url.parse().unwrap()),
            webhook_secret_file: Some(secret_file),
            ..Config::new(folder.path())
        }
    }

    /// The next event, its signature checked.
    async fn next(&mut self) -> Value {
        let (headers, body) = tokio::time::timeout(LIMIT, self.inbox.recv())
            .await
            .expect("a webhook in time")
            .unwrap();
        let signature = headers["psp-signature"].to_str().unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap().chain_update(&body);
        let expected: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature, expected);
        serde_json::from_slice(&body).unwrap()
    }
}

struct Encrypted {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (tcp, from) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(tcp).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

fn acceptor(certificate: &CertifiedKey<KeyPair>) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

async fn receive(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let refuse =
        door.to_refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if refuse.is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    door.inbox.send((headers, body)).unwrap();
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn every_outcome_is_told_and_signed() {
    let (folder, mut receiver) = (Folder::new(), Receiver::start().await);
    let psp = Psp::start_with(receiver.config(&folder)).await;
    let capture = psp.shop.captured("key", 255).await;
    let event = receiver.next().await;
    assert_eq!(event["type"], "capture.succeeded");
    assert!(event["id"].is_string() && event["created_unix_ms"].is_i64(), "{event}");
    assert_eq!(
        event["data"],
        json!({"key": "key", "capture_id": capture, "amount": gbp(255), "reference": "key"})
    );

    let refund = psp.shop.refund("refund", &capture, 5).await.1["refund_id"].clone();
    let event = receiver.next().await;
    assert_eq!(
        (&event["type"], &event["data"]["refund_id"]),
        (&json!("refund.succeeded"), &refund)
    );
    assert_eq!(event["data"]["capture_id"], capture);

    psp.shop.void("void").await; // tells nobody
    psp.shop.capture("declined", &order("tok_decline", 1, "order-2")).await;
    let event = receiver.next().await;
    assert_eq!(
        (&event["type"], &event["data"]["key"]),
        (&json!("capture.declined"), &json!("declined"))
    );
    psp.stop().await;
}

#[tokio::test]
async fn a_webhook_is_sent_again_until_it_is_accepted() {
    let (folder, mut receiver) = (Folder::new(), Receiver::start().await);
    receiver.to_refuse.store(3, Ordering::SeqCst);
    let psp = Psp::start_with(receiver.config(&folder)).await;
    psp.shop.captured("key", 255).await;
    assert_eq!(receiver.next().await["data"]["key"], "key");
    assert_eq!(receiver.to_refuse.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_receiver_is_spoken_to_over_tls_when_it_is_who_it_should_be() {
    let (folder, stranger) = (Folder::new(), certificate());
    let own = certificate();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, own.cert.pem()).unwrap();
    for (shown, trusted) in [(&own, true), (&stranger, false)] {
        let mut receiver = Receiver::encrypted(shown).await;
        let config = Config { webhook_ca_file: Some(ca.clone()), ..receiver.config(&folder) };
        let psp = Psp::start_with(config).await;
        let key = if trusted { "own" } else { "stranger" };
        psp.shop.captured(key, 255).await;
        if trusted {
            assert_eq!(receiver.next().await["data"]["key"], key);
        }
        psp.stop().await; // what is left gets one attempt more
        assert!(receiver.inbox.try_recv().is_err(), "{key}: nothing more");
    }
}

#[tokio::test]
async fn an_https_receiver_needs_an_authority_and_no_other_does() {
    let (folder, receiver) = (Folder::new(), Receiver::start().await);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, "nothing of the kind").unwrap();
    let https = Some("https://127.0.0.1:1/".parse().unwrap());
    for (webhook_url, webhook_ca_file, said) in [
        (https.clone(), None, "an https:// webhook URL needs a CA file"),
        (None, Some(ca.clone()), "and no other URL does"),
        (https.clone(), Some(ca.clone()), "ca.pem holds no certificate"),
        (https, Some(ca.with_file_name("none.pem")), "none.pem"),
    ] {
        let config = receiver.config(&folder);
        let webhook_url = webhook_url.or(config.webhook_url);
        let config = Config { webhook_url, webhook_ca_file, ..receiver.config(&folder) };
        let Err(error) = Server::bind(config).await else { panic!("{said}: not refused") };
        let line = format!("{error:#}");
        assert!(line.contains(said) && line.lines().count() == 1, "{line}");
    }
}

#[tokio::test]
async fn a_webhook_comes_twice_on_demand() {
    let (folder, mut receiver) = (Folder::new(), Receiver::start().await);
    let psp = Psp::start_with(receiver.config(&folder)).await;
    psp.shop.set_behaviour(json!({"duplicate_webhook": 1.0})).await;
    psp.shop.captured("key", 255).await;
    assert_eq!(receiver.next().await, receiver.next().await);
    psp.stop().await;
    assert!(receiver.inbox.try_recv().is_err(), "twice and not more");
}

#[tokio::test]
async fn more_webhooks_than_can_be_under_way_all_arrive() {
    let (folder, mut receiver) = (Folder::new(), Receiver::start().await);
    let psp = Psp::start_with(receiver.config(&folder)).await;
    psp.shop.set_behaviour(json!({"webhook_delay_ms": 200})).await;
    let started = Instant::now();
    for number in 0..400 {
        psp.shop.captured(&format!("key-{number}"), 1).await;
    }
    let mut keys = HashSet::new();
    keys.insert(receiver.next().await["data"]["key"].to_string());
    assert!(started.elapsed() >= Duration::from_millis(200), "the delay was kept");
    while keys.len() < 400 {
        assert!(keys.insert(receiver.next().await["data"]["key"].to_string()), "told once");
    }
}

#[tokio::test]
async fn stopping_delivers_what_is_left_and_does_not_wait_for_a_receiver_that_is_gone() {
    let (folder, mut receiver) = (Folder::new(), Receiver::start().await);
    let psp = Psp::start_with(receiver.config(&folder)).await;
    psp.shop.set_behaviour(json!({"webhook_delay_ms": 60_000})).await;
    psp.shop.captured("key", 255).await;
    psp.shop.void("void").await;
    psp.stop().await;
    assert_eq!(receiver.next().await["data"]["key"], "key");

    let gone = Config {
        webhook_url: Some("http://127.0.0.1:9/".parse().unwrap()),
        ..receiver.config(&folder)
    };
    let psp = Psp::start_with(gone).await;
    psp.shop.captured("other", 255).await;
    let started = Instant::now();
    psp.stop().await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}
