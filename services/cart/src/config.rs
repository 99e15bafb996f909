//! `cart --help` is the configuration reference.

use service::HasOptions;

/// The cart service: what people want to buy.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub(crate) service: service::Options,
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Options,
    #[command(flatten)]
    pub(crate) tls: rpc::tls::Options,
    #[command(flatten)]
    pub(crate) database: database::Options,
    #[command(flatten)]
    pub(crate) messaging: messaging::Options,
    #[command(flatten)]
    pub(crate) identity: identity::Options,
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}
