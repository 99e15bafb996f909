//! The provisioner of a test's bus, on a thread of its own: a test may start it with or without a runtime.

use std::thread::JoinHandle;

use messaging::{Bus, Provisioner, ProvisionerOptions};
use tokio::runtime;
use tokio_util::sync::CancellationToken;

/// A provisioner that runs until it is dropped.
pub(crate) struct Provisioning {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Provisioning {
    /// At this bus, for these contexts, each with those whose events it takes in.
    pub(crate) fn start(
        nats_url: &str,
        options: ProvisionerOptions,
        topology: Vec<(&'static str, &'static [&'static str])>,
    ) -> Self {
        let stop = CancellationToken::new();
        let (stopped, at) = (stop.clone(), messaging::Options::at(nats_url));
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let bus = Bus::connect(&at, stores::BUS_PROVISIONER).await.expect("a URL");
                let provisioner = Provisioner::new(&bus, options, topology);
                provisioner.run(stopped).await.expect("an orderly end");
            });
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Provisioning {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread.join()); // its panic is in the test's output
        }
    }
}
