//! Who may call.

use std::time::Duration;

use rpc::{Peer, ServerOptions, status};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::callee::{ADD, Callee, GET, call};
use crate::raw;
use crate::world::{World, load, targets};

#[tokio::test]
async fn the_handler_sees_the_callers_name() {
    let world = World::new();
    let who = Callee::new(|request| async move {
        Ok(Peer::of(&request).map_or_else(String::new, |peer| peer.name().to_owned()))
    });
    let server = world.serve(who, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    assert_eq!(call(&channel, GET, "").await.unwrap(), "gateway");
}

#[tokio::test]
async fn a_caller_is_refused_what_the_table_does_not_give_it() {
    let world = World::new();
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    for (name, path, allowed) in [
        ("gateway", ADD, true),
        ("operator", GET, true),
        ("operator", ADD, false),
        ("order", GET, false),
        ("cart", GET, false),
        ("product", GET, false),
    ] {
        let answer = call(&world.channel(name, &[server.address]), path, "hello").await;
        if allowed {
            assert_eq!(answer.unwrap(), "hello", "{name} {path}");
            continue;
        }
        let refused = answer.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{name} {path}");
        assert_eq!(status::reason(&refused).as_deref(), Some("caller_not_allowed"));
    }
}

#[tokio::test]
async fn a_method_that_nobody_serves_is_unimplemented() {
    let world = World::new();
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);
    let nowhere = ["/souk.product.v1.ProductService/Burn", "/souk.cart.v1.CartService/GetCart"];
    for path in nowhere {
        let refused = call(&channel, path, "").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{path}");
    }
}

#[tokio::test]
async fn the_operator_may_ask_for_health_everywhere() {
    let world = World::new();
    let options = ServerOptions {
        services: &["souk.product.v1.ProductService", "souk.order.v1.OrderService"],
        ..ServerOptions::default()
    };
    let health = options.health.clone();
    let server = world.serve(Callee::echo(), options).await;
    let mut client = HealthClient::new(world.channel("operator", &[server.address]));
    for service in ["", "souk.product.v1.ProductService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    health.set_serving(false).await;
    let answer = client.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    let mut cart = HealthClient::new(world.channel("cart", &[server.address]));
    let refused = cart.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_the_server() {
    let (world, stranger) = (World::new(), World::new());
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    // It trusts the server, but its own certificate comes from elsewhere.
    let dir = stranger.path("gateway");
    stranger.issue("gateway", &dir);
    std::fs::copy(world.path("ca").join("ca.pem"), dir.join("ca.pem")).unwrap();
    let targets = targets(&[server.address]);
    let channel = rpc::connect("product", &targets, &load(&dir));
    let refused = call(&channel, GET, "hello").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_refused_by_the_caller() {
    let (world, stranger) = (World::new(), World::new());
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    let channel = stranger.channel("gateway", &[server.address]);
    assert_eq!(call(&channel, GET, "").await.unwrap_err().code(), Code::Unavailable);

    let targets = targets(&[server.address]);
    let channel = rpc::connect("payment", &targets, &world.identity("gateway"));
    assert_eq!(call(&channel, GET, "").await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn who_brings_no_certificate_is_refused() {
    let world = World::new();
    let server = world.serve(Callee::echo(), ServerOptions::default()).await;
    // With TLS 1.3 the client learns of it when it reads.
    let mut tls = raw::without_certificate(&world.path("product"), server.address).await;
    let error = tls.read(&mut [0; 1]).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

/// A server that refuses a certificate lets the handshake succeed first, as the client sees it.
/// That must not be taken for a connection, or the client would connect in a tight loop.
#[tokio::test]
async fn a_refused_caller_does_not_hammer() {
    let world = World::new();
    let dir = world.path("product");
    world.issue("product", &dir);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = world.channel("gateway", &[listener.local_addr().unwrap()]);
    let acceptor = raw::acceptor(&dir);
    let mut connections = 0;
    let refuse_all = async {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            drop(acceptor.accept(tcp).await);
            connections += 1;
        }
    };
    let half_a_second = timeout(Duration::from_millis(500), refuse_all);
    assert!(half_a_second.await.is_err());
    assert!((2..=6).contains(&connections), "{connections} connections in half a second");
    drop(channel);
}

#[tokio::test]
async fn the_operator_may_ask_what_is_served() {
    let world = World::new();
    let options =
        ServerOptions { services: &["souk.product.v1.ProductService"], ..ServerOptions::default() };
    let server = world.serve(Callee::echo(), options).await;
    let mut client = ServerReflectionClient::new(world.channel("operator", &[server.address]));
    let list = MessageRequest::ListServices(String::new());
    let list = ServerReflectionRequest { message_request: Some(list), ..Default::default() };
    let mut answers =
        client.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(names, ["grpc.health.v1.Health", "souk.product.v1.ProductService"]);
}
