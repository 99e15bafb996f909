//! A certificate for every process, issued anew at each start and again every day: the processes
//! notice new files by themselves.

use std::time::Duration;

use anyhow::Result;
use certs::Authority;
use souk::cli::SERVICES;
use stores::Server;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at};

use crate::layout::Layout;
use crate::plan::{GATEWAY, PROVISIONER};

const RENEW: Duration = Duration::from_secs(24 * 60 * 60);

/// The name in the certificate of the command line.
pub const OPERATOR: &str = "operator";

/// Renews the certificates until it is dropped.
#[derive(Debug)]
pub struct Certificates {
    renewing: JoinHandle<()>,
}

impl Certificates {
    /// Issues them.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn issue(layout: &Layout) -> Result<Self> {
        let authority = Authority::open_or_create(layout.certs_of("authority"))?;
        issue_all(&authority, layout)?;
        let layout = layout.clone();
        let renewing = tokio::spawn(async move {
            let mut renew = interval_at(Instant::now() + RENEW, RENEW);
            loop {
                renew.tick().await;
                // They are valid for months: tomorrow is soon enough to try again.
                let _ = issue_all(&authority, &layout);
            }
        });
        Ok(Self { renewing })
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

fn issue_all(authority: &Authority, layout: &Layout) -> Result<()> {
    let others = SERVICES.into_iter().filter(|name| *name != GATEWAY);
    let names = others.chain([PROVISIONER, OPERATOR]);
    names.into_iter().try_for_each(|name| authority.issue(name, layout.certs_of(name)))?;
    // A store keeps the certificate that it started with: it is valid for months. The payment provider finds the gateway
    // by its address.
    let local = Server::ALL.map(Server::key).into_iter().chain([GATEWAY]);
    local.into_iter().try_for_each(|name| authority.issue_local(name, layout.certs_of(name)))
}
