//! SIGTERM and SIGINT, and the order of the end: unready, wait for the balancers, finish, exit. Whatever happens, it
//! is over at the limit.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::{Options, Shutdown};

/// The signals that end a process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on the signals do not kill the process any more; [`obey`](Self::obey) must run.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Runs beside the service and ends it when a signal comes, or when something in it asks for the end.
    pub(crate) async fn obey(mut self, options: Options, shutdown: Shutdown) {
        tokio::select! {
            signal = self.next() => tracing::info!(signal, drain_ms = millis(options.drain_wait), "stopping"),
            () = shutdown.draining() => tracing::info!("stopping"),
        }
        exit_after(options.stop_limit);
        shutdown.drain();
        tokio::select! {
            () = sleep(options.drain_wait) => shutdown.request(),
            signal = self.next() => exit(&format!("second signal ({signal})")),
        }
        let signal = self.next().await;
        exit(&format!("second signal ({signal})"));
    }
}

/// On a thread, so that it comes even if every worker of the runtime is stuck.
fn exit_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        exit(&format!("not finished {} ms after being asked to stop", millis(limit)));
    });
}

fn exit(reason: &str) -> ! {
    tracing::error!(reason, "exiting at once");
    std::process::exit(1);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
