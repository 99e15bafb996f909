//! `product --help` is the configuration reference.

use std::time::Duration;

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
    /// Bytes of products that are kept in memory, and a megabyte of rankings beside; 0: neither, and each read asks the database
    #[arg(long, env = "SOUK_PRODUCT_CACHE_BYTES", value_name = "BYTES", default_value_t = 2 << 20)]
    pub(crate) cache_bytes: u64,
    /// How long a product may be kept while the database says that it has not changed; 0: for half a second, whatever it says
    #[arg(long, env = "SOUK_PRODUCT_CACHE_LIFE", value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) cache_life: Duration,
    /// How often the views of bestsellers and of categories are refreshed, at least 50ms; 0: never
    #[arg(long, env = "SOUK_PRODUCT_REFRESH_INTERVAL", value_name = "DURATION", default_value = "60s", value_parser = interval)]
    pub(crate) refresh_interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(50);
    match humantime::parse_duration(text).map_err(|error| error.to_string())? {
        short if !short.is_zero() && short < LEAST => Err("expected 50ms or more, or 0".to_owned()),
        interval => Ok(interval),
    }
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}
