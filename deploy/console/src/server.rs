//! The listener, the two background tasks, and their end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use operator::layout::Layout;
use operator::plan::CONSOLE_HOST;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{App, routes};
use crate::auditor::Auditor;
use crate::config::Config;
use crate::logs::Logs;
use crate::sampler::Sampler;
use crate::token::Token;

/// A browser keeps connections open on which it asks nothing.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// A bound process: the token is read and the port is taken, nothing is served yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    routes: Router,
    sampler: Sampler,
    auditor: Auditor,
}

impl Server {
    /// Reads the token and takes the port.
    ///
    /// # Errors
    /// When either cannot be done, or the token is short.
    pub async fn bind(config: &Config) -> Result<Self> {
        let token = Token::read(&config.token_file)?;
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| format!("listening on {}", config.listen))?;
        let local_addr = listener.local_addr()?;
        let layout = Layout::at(&config.run);
        let (live_sender, live) = watch::channel(Arc::default());
        let (told_sender, told) = watch::channel(Arc::default());
        let app = App {
            layout: layout.clone(),
            live: live.clone(),
            told: told.clone(),
            newest: Arc::default(),
            logs: Arc::new(Logs::of(layout.logs())),
        };
        let host: Arc<str> = format!("{CONSOLE_HOST}:{}", local_addr.port()).into();
        Ok(Self {
            listener,
            local_addr,
            routes: routes(app, token, host),
            sampler: Sampler::new(layout.clone(), live_sender, told),
            auditor: Auditor::new(layout, live, told_sender),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, and lets the requests in progress finish for 2 s at most.
    ///
    /// # Errors
    /// When the listener fails, or a background task does.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let mut background = JoinSet::new(); // both end when it is dropped
        background.spawn(self.sampler.run());
        background.spawn(self.auditor.run());
        tracing::info!(listen = %self.local_addr, "serving");
        let (stop, mut stopped) = watch::channel(false);
        let stopping = async move {
            shutdown.await;
            stop.send_replace(true);
        };
        let serving = axum::serve(self.listener, self.routes).with_graceful_shutdown(stopping);
        let too_long = async {
            let _ = stopped.wait_for(|stopped| *stopped).await; // an error: it has ended
            tokio::time::sleep(DRAIN_MAX).await;
        };
        tokio::select! {
            served = serving => Ok(served?),
            // The supervisor starts it again; what is shown would only grow old.
            ended = background.join_next() => bail!("a background task has ended: {ended:?}"),
            () = too_long => Ok(()),
        }
    }
}
