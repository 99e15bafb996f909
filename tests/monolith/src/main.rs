//! The gateway and services in one process: the same crates, which call each other without a network ([`Neighbours`]).
//! `cargo souk bench monolith` measures it beside the shop as it is, and ADR 0007 says what to make of that.
//!
//! It is configured as the gateway is. A service runs here if its settings are in the environment, each behind its name:
//! `ORDER_SOUK_DATABASE_URLS`. Others are called over the network, at their URLs.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use futures_util::future::{LocalBoxFuture, try_join_all};
use rpc::Neighbours;
use service::Shutdown;

const SERVICES: [&str; 5] = ["product", "user", "cart", "order", "payment"];

fn main() -> ExitCode {
    service::main("gateway", service::nothing_to_migrate, run)
}

async fn run(config: gateway::Config, shutdown: Shutdown) -> Result<()> {
    let here: Vec<&str> = SERVICES.into_iter().filter(|name| runs_here(name)).collect();
    let neighbours = Neighbours::new(here.iter().copied());
    let behind = Shutdown::new();
    let services = here.iter().map(|name| start(name, behind.clone()));
    let services = services.collect::<Result<Vec<_>>>()?;
    let services = try_join_all(services.into_iter().map(|service| neighbours.run(service)));
    // The gateway is ready when what is behind it is, and they end when it has.
    let front = async {
        tokio::select! {
            () = neighbours.all_serve() => {}
            () = shutdown.requested() => {}
        }
        let ended = neighbours.run(gateway::run(config, shutdown.clone())).await;
        behind.request();
        ended
    };
    let one_failed = async {
        behind.requested().await;
        shutdown.request();
        Ok(())
    };
    tokio::try_join!(services, front, one_failed).map(drop)
}

fn start(name: &str, shutdown: Shutdown) -> Result<LocalBoxFuture<'static, Result<()>>> {
    let setting = |variable: &str| setting(name, variable);
    Ok(match name {
        "product" => product::run(service::settings("product", setting)?, shutdown),
        "user" => user::run(service::settings("user", setting)?, shutdown),
        "cart" => cart::run(service::settings("cart", setting)?, shutdown),
        "order" => order::run(service::settings("order", setting)?, shutdown),
        _ => payment::run(service::settings("payment", setting)?, shutdown),
    })
}

fn runs_here(name: &str) -> bool {
    setting(name, "SOUK_LISTEN").is_some()
}

fn setting(service: &str, variable: &str) -> Option<OsString> {
    std::env::var_os(format!("{}_{variable}", service.to_uppercase()))
}
