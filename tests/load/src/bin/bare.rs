//! A bare axum handler that answers the bytes of a file: the yardstick of `bench hot`. Says its address in a line, and ends with its
//! standard input.

use std::io::Read as _;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).ok_or_else(|| anyhow::anyhow!("bare FILE"))?;
    let body = Bytes::from(std::fs::read(file)?);
    let answer = async move || ([(CONTENT_TYPE, JSON)], body.clone());
    let routes = Router::new().route("/v1/products/{id}", get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        served = axum::serve(listener, routes) => Ok(served?),
        _ = parent => Ok(()),
    }
}
