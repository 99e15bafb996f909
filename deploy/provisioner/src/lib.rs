//! The process that keeps the streams and consumers of the bus, with credentials of its own.

use anyhow::ensure;
use messaging::{Bus, Provisioner, ProvisionerOptions};
use rpc::Identity;
use service::{HasOptions, Shutdown, Tasks};

/// The provisioner: creates, changes and deletes the streams and consumers of the bus.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    #[command(flatten)]
    service: service::Options,
    #[command(flatten)]
    telemetry: telemetry::Options,
    #[command(flatten)]
    messaging: messaging::Options,
    #[command(flatten)]
    provisioner: ProvisionerOptions,
    #[command(flatten)]
    tls: rpc::tls::Options,
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}

/// Provisions until shutdown. It serves nothing but its admin port.
///
/// # Errors
/// When the certificate cannot be used, the admin port is taken or the bus's URL is none.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let tasks = Tasks::new(&shutdown);
    let identity = Identity::load(&config.tls)?;
    identity.watch(shutdown.token());
    let health = service::admin::start(&config.service, &tasks, identity.open_http1()).await?;
    let bus = Bus::connect(&config.messaging, stores::BUS_PROVISIONER).await?;
    let provisioner = Provisioner::new(&bus, config.provisioner, stores::bus_topology());
    tasks.keep("provisioner", provisioner.run(shutdown.token()));
    health.check("NATS", move || {
        let connected = bus.is_connected();
        async move {
            ensure!(connected, "not connected");
            Ok(())
        }
    });
    health.ready(true);
    shutdown.requested().await;
    tasks.finish().await
}
