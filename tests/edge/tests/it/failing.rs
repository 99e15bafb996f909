//! Gateways that die, and what clients notice of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use certs::Authority;
use http::Method;
use operator::Signal;
use operator::http::Client;
use serde_json::{Value, json};
use testkit::eventually;
use tokio::task::JoinSet;

use crate::counting::Counting;
use crate::shop::{Front, GATEWAYS, LIMIT, get, send, sign_up};

const CLIENTS: usize = 8;

pub async fn a_post_that_was_sent_is_not_sent_again(front: &Front) -> Result<()> {
    let (body, certificate) = (json!({ "email": "a@example.com" }), front.certificate());
    for (method, body, expected) in [(Method::POST, Some(&body), 1), (Method::GET, None, 2)] {
        let dropping = || Counting::dropping(&certificate);
        let gateways = [dropping().await?, dropping().await?];
        let edge = front.edge(&[gateways[0].address, gateways[1].address]).await?;
        let answer = send(&Client::new(&edge.url), method.clone(), "/v1/me", None, body).await?;
        let sent: usize = gateways.iter().map(Counting::requests).sum();
        ensure!((answer.status, sent) == (503, expected), "{method}: {sent} {answer:?}");
    }
    Ok(())
}

/// Clients that ask without a pause, each counting what it was refused.
struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failed: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Load {
    fn start(front: &Front, token: &str, method: &Method, path: &str, body: &Value) -> Self {
        let mut load = Self {
            clients: JoinSet::new(),
            stop: Arc::default(),
            asked: Arc::default(),
            failed: Arc::default(),
        };
        for _ in 0..CLIENTS {
            let (stop, asked, failed) =
                (Arc::clone(&load.stop), Arc::clone(&load.asked), Arc::clone(&load.failed));
            let (client, token) = (front.client(), token.to_owned());
            let (method, path, body) = (method.clone(), path.to_owned(), body.clone());
            load.clients.spawn(async move {
                let body = (method != Method::GET).then_some(&body);
                while !stop.load(Ordering::Relaxed) {
                    let answer = send(&client, method.clone(), &path, Some(&token), body).await;
                    asked.fetch_add(1, Ordering::Relaxed);
                    let wrong = match answer {
                        Ok(answer) if answer.status < 300 => continue,
                        Ok(answer) => format!("{} {:?}", answer.status, answer.body),
                        Err(error) => format!("{error:#}"),
                    };
                    failed.lock().unwrap().push(wrong);
                }
            });
        }
        load
    }

    /// Waits until so many more requests were answered.
    async fn more(&self, requests: usize) {
        let target = self.asked.load(Ordering::Relaxed) + requests;
        eventually("requests are answered", LIMIT, async || {
            (self.asked.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    async fn end(mut self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        (self.asked.load(Ordering::Relaxed), std::mem::take(&mut *self.failed.lock().unwrap()))
    }
}

/// Waits until another process has the name and answers what the clients ask.
async fn back(front: &Front, name: &str, old: Option<operator::Process>, asked: (&str, &str)) {
    eventually(&format!("{name} is back"), LIMIT, async || {
        let now = front.shop.process(name)?;
        let answered = front.answered_by(name, asked.0, asked.1).await.ok()?;
        (Some(now) != old && answered > 0).then_some(())
    })
    .await;
}

pub async fn a_killed_gateway_costs_no_read(front: &Front) -> Result<()> {
    let token = sign_up(&front.client(), "reader").await?;
    let load = Load::start(front, &token, &Method::GET, "/v1/me", &Value::Null);
    load.more(200).await;
    for name in GATEWAYS {
        let old = front.shop.process(name);
        front.shop.kill(name, Signal::KILL)?;
        back(front, name, old, ("GET", "/v1/me")).await;
    }
    let (asked, failed) = load.end().await;
    println!("  {asked} reads while each gateway was killed once: {} failed", failed.len());
    ensure!(failed.is_empty(), "{failed:?}");
    Ok(())
}

/// One after the other, as soon as the first says that it is ready again.
pub async fn gateways_are_restarted_and_nobody_notices(front: &Front) -> Result<()> {
    let token = sign_up(&front.client(), "writer").await?;
    let product = front.product("CER-CUP-02").await?.product_id;
    let path = format!("/v1/cart/items/{product}");
    let load = Load::start(front, &token, &Method::PUT, &path, &json!({ "quantity": 2 }));
    load.more(50).await;
    for name in GATEWAYS {
        let old = front.shop.process(name);
        front.shop.kill(name, Signal::TERM)?;
        eventually(&format!("{name} is ready again"), LIMIT, async || {
            let entry = front.shop.processes().into_iter().find(|entry| entry.task.name == name)?;
            let ready = operator::ready::ask(entry.task.admin).await.is_ok();
            (front.shop.process(name)? != old.clone()? && ready).then_some(())
        })
        .await;
    }
    load.more(50).await;
    let (asked, failed) = load.end().await;
    println!("  {asked} writes while each gateway was restarted: {} failed", failed.len());
    ensure!(failed.is_empty(), "{failed:?}");
    Ok(())
}

pub async fn without_gateways_the_edge_says_so(front: &Front) -> Result<()> {
    let nobody = Counting::plain().await?.address; // dropped at once: nobody listens there
    let edge = front.edge(&[nobody]).await?;
    let answer = get(&Client::new(&edge.url), "/v1/products").await?;
    let problem: Value = answer.json()?;
    let kind = answer.header("content-type").unwrap_or_default();
    ensure!((answer.status, kind) == (503, "application/problem+json"), "{answer:?}");
    ensure!(problem["code"] == "unavailable" && problem["status"] == 503, "{problem}");
    ensure!(answer.header("retry-after") == Some("1"), "{answer:?}");
    Ok(())
}

/// One with a certificate of another authority, and one that speaks no TLS: each is worth a line, and no request.
pub async fn a_stranger_is_not_spoken_to(front: &Front) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::open_or_create(folder.path().join("ca"))?;
    authority.issue("gateway", folder.path())?;
    for (stranger, said) in [
        (Counting::slow(folder.path()).await?, "upstream SSL certificate verify error"),
        (Counting::plain().await?, "while SSL handshaking to upstream"),
    ] {
        let edge = front.edge(&[stranger.address]).await?;
        for method in [Method::GET, Method::POST] {
            let answer = send(&Client::new(&edge.url), method, "/v1/me", None, None).await?;
            ensure!((answer.status, stranger.requests()) == (503, 0), "{answer:?}");
        }
        let log = edge.log()?;
        ensure!(log.lines().next().is_some_and(|line| line.contains(said)), "{log}");
        ensure!(log.matches(said).count() <= 2, "a line for each attempt: {log}");
    }
    Ok(())
}
