//! `product --help` is the configuration reference.

use service::HasOptions;

/// The product service: catalogue, prices, stock, reservations.
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
    /// Bytes of products that are kept in memory, each for half a second; 0: none, and each read asks the database
    #[arg(long, env = "SOUK_PRODUCT_CACHE_BYTES", value_name = "BYTES", default_value_t = 2 << 20)]
    pub(crate) cache_bytes: u64,
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}
