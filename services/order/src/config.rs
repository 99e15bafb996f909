//! `order --help` is the configuration reference.

use std::time::Duration;

use rpc::Targets;
use service::HasOptions;

/// The order service: orders, the checkout saga, returns.
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

    /// The cart service: host:port, several separated by commas
    #[arg(long, env = "SOUK_CART_URLS")]
    pub(crate) cart_urls: Targets,

    /// The product service: host:port, several separated by commas
    #[arg(long, env = "SOUK_PRODUCT_URLS")]
    pub(crate) product_urls: Targets,

    /// The user service: host:port, several separated by commas
    #[arg(long, env = "SOUK_USER_URLS")]
    pub(crate) user_urls: Targets,

    /// How long a checkout may take before its order is cancelled
    #[arg(long, env = "SOUK_CHECKOUT_DEADLINE", default_value = "20s", value_parser = humantime::parse_duration)]
    pub(crate) checkout_deadline: Duration,
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}
