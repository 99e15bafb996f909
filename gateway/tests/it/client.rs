//! A client of the gateway's HTTP side.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::world::World;

/// A request in the making.
pub struct Call(http::request::Builder, Body);

pub fn get(path: &str) -> Call {
    call(Method::GET, path)
}

pub fn post(path: &str) -> Call {
    call(Method::POST, path)
}

pub fn call(method: Method, path: &str) -> Call {
    Call(Request::builder().method(method).uri(path), Body::empty())
}

impl Call {
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value), self.1)
    }

    /// Signed in, as far as the gateway can tell.
    pub fn token(self) -> Self {
        self.header("authorization", "Bearer some.access.token")
    }

    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    pub fn body(self, body: impl Into<Body>) -> Self {
        Self(self.0, body.into())
    }

    /// The answer, its body still to come.
    pub async fn open(self, world: &World) -> Response<Incoming> {
        let request = self.0.body(self.1).unwrap();
        let (mut head, body) = request.into_parts();
        head.uri = format!("http://{}{}", world.address, head.uri).parse().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        client.request(Request::from_parts(head, body)).await.unwrap()
    }

    pub async fn send(self, world: &World) -> Answer {
        let (head, body) = self.open(world).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem, after a look at whether it is a proper one.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("x-trace-id").len(), 32, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["title"], self.status.canonical_reason().unwrap());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }

    /// The names of the fields at fault.
    pub fn fields(&self) -> Vec<String> {
        let fields = self.json()["fields"].as_array().cloned().unwrap_or_default();
        fields.iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect()
    }
}
