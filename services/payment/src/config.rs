//! `payment --help` is the configuration reference.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use service::HasOptions;

use crate::peers::PspUrl;

/// The payment service: payment methods, payments, the ledger.
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

    /// The payment service provider: an http:// URL
    #[arg(long, env = "SOUK_PSP_URL", value_name = "URL")]
    pub(crate) psp_url: PspUrl,

    /// File with the secret that signs the provider's webhooks; white space at its end does not count
    #[arg(long, env = "SOUK_PSP_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(crate) psp_webhook_secret_file: PathBuf,

    /// How long the provider may take to answer; after that the outcome is unknown
    #[arg(long, env = "SOUK_PSP_TIMEOUT", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) psp_timeout: Duration,

    /// First calls to the provider at one time; retries have half as many beside them
    #[arg(long, env = "SOUK_PSP_CONCURRENCY", value_name = "NUMBER", default_value = "32")]
    pub(crate) psp_concurrency: NonZeroUsize,
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}
