//! The gateway and services in one process: the same crates, which call each other without a network
//! ([in-process transport](InProcess)). `cargo souk bench monolith` measures it beside the shop as it is, and ADR 0007 says what
//! to make of that.
//!
//! It is configured as the gateway is. A service runs here if its settings are in the environment, each behind its name:
//! `ORDER_SOUK_DATABASE_URLS`. Others are called over the network, at their URLs.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use futures_util::future::{LocalBoxFuture, join, join_all};
use rpc::InProcess;
use service::Shutdown;

/// How a service is started, with the settings behind its name.
type Start = fn(Shutdown) -> Result<LocalBoxFuture<'static, Result<()>>>;

const SERVICES: [(&str, Start); 5] = [
    ("product", |shutdown| Ok(product::run(service::settings("product")?, shutdown))),
    ("user", |shutdown| Ok(user::run(service::settings("user")?, shutdown))),
    ("cart", |shutdown| Ok(cart::run(service::settings("cart")?, shutdown))),
    ("order", |shutdown| Ok(order::run(service::settings("order")?, shutdown))),
    ("payment", |shutdown| Ok(payment::run(service::settings("payment")?, shutdown))),
];

fn main() -> ExitCode {
    service::main("gateway", service::nothing_to_migrate, run)
}

async fn run(config: gateway::Config, shutdown: Shutdown) -> Result<()> {
    let here: Vec<_> = SERVICES.into_iter().filter(|(name, _)| runs_here(name)).collect();
    let services = InProcess::new(here.iter().map(|(name, _)| *name));
    let (mut stops, mut running) = (Vec::new(), Vec::new());
    for (name, start) in here {
        let stop = Shutdown::new();
        let service = services.run(start(stop.clone()).with_context(|| name)?);
        stops.push(stop.clone());
        let shutdown = shutdown.clone();
        running.push(async move {
            let ended = service::verdict(service.await, &stop).with_context(|| name);
            shutdown.request(); // one without the others is no shop
            ended
        });
    }
    // The gateway is ready when all serve, and they end when it has.
    let front = async {
        tokio::select! {
            () = services.all_serve() => {}
            () = shutdown.requested() => {}
        }
        let ended = services.run(gateway::run(config, shutdown.clone())).await;
        stops.iter().for_each(Shutdown::request);
        ended
    };
    let (front, services) = join(front, join_all(running)).await;
    services.into_iter().collect::<Result<()>>()?;
    front
}

fn runs_here(name: &str) -> bool {
    std::env::var_os(format!("{}_SOUK_LISTEN", name.to_uppercase())).is_some()
}
