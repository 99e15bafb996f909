//! `gateway --help` is the configuration reference.

use std::net::SocketAddr;
use std::time::Duration;

use rpc::Targets;
use service::HasOptions;

use crate::sessions;
use crate::storefront::Origin;

/// The gateway: REST in front, gRPC behind.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub(crate) service: service::Options,
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Options,
    #[command(flatten)]
    pub(crate) tls: rpc::tls::Options,
    #[command(flatten)]
    pub(crate) redis: cache::redis::Options,
    #[command(flatten)]
    pub(crate) sessions: sessions::Options,

    /// Where browsers reach the shop, such as https://shop.example: forms that other pages send are refused, and with https cookies are for
    /// secure connections only. Without it: at whatever host a request is for, without https
    #[arg(long, env = "SOUK_ORIGIN", value_name = "ORIGIN")]
    pub(crate) origin: Option<Origin>,

    /// The name of this copy, at the foot of its pages; by default its port
    #[arg(long, env = "HOSTNAME", value_name = "NAME")]
    pub(crate) copy: Option<String>,

    /// Where the same is served over TLS, with the certificate in --tls-dir; clients need none
    #[arg(long, env = "SOUK_TLS_LISTEN", value_name = "ADDRESS")]
    pub(crate) tls_listen: Option<SocketAddr>,

    /// The product service: host:port, several separated by commas
    #[arg(long, env = "SOUK_PRODUCT_URLS")]
    pub(crate) product_urls: Targets,

    /// The user service: host:port, several separated by commas
    #[arg(long, env = "SOUK_USER_URLS")]
    pub(crate) user_urls: Targets,

    /// The cart service: host:port, several separated by commas
    #[arg(long, env = "SOUK_CART_URLS")]
    pub(crate) cart_urls: Targets,

    /// The order service: host:port, several separated by commas
    #[arg(long, env = "SOUK_ORDER_URLS")]
    pub(crate) order_urls: Targets,

    /// The payment service: host:port, several separated by commas
    #[arg(long, env = "SOUK_PAYMENT_URLS")]
    pub(crate) payment_urls: Targets,

    /// The largest body of a request, in bytes; an import is a stream and has no such limit
    #[arg(long, env = "SOUK_BODY_LIMIT", value_name = "BYTES", default_value_t = 256 * 1024)]
    pub(crate) body_limit: usize,

    /// Bytes of products and lists, as they are answered, that are kept in memory; 0: none, and each request asks the product service
    #[arg(long, env = "SOUK_PRODUCT_PAGES_BYTES", value_name = "BYTES", default_value_t = 2 << 20)]
    pub(crate) product_pages_bytes: u64,

    /// How long one may be kept while the product service says that it has not changed; 0: for half a second, whatever it says
    #[arg(long, env = "SOUK_PRODUCT_PAGES_LIFE", value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) product_pages_life: Duration,

    /// How often one of them is compared with the database (souk_cache_audits_total); 0: never
    #[arg(long, env = "SOUK_PRODUCT_AUDIT_INTERVAL", value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) product_audit_interval: Duration,

    /// How long a request may take, its body and every call behind it included
    #[arg(long, env = "SOUK_DEADLINE", value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) deadline: Duration,

    /// How long an import may take
    #[arg(long, env = "SOUK_IMPORT_DEADLINE", value_name = "DURATION", default_value = "120s", value_parser = humantime::parse_duration)]
    pub(crate) import_deadline: Duration,

    /// Requests in progress; browsing may take three quarters of them, the others all
    #[arg(long, env = "SOUK_MAX_IN_FLIGHT", value_name = "NUMBER", default_value_t = 512)]
    pub(crate) max_in_flight: usize,

    /// Live event streams
    #[arg(long, env = "SOUK_MAX_STREAMS", value_name = "NUMBER", default_value_t = 1024)]
    pub(crate) max_streams: usize,

    /// How long a live event stream whose order service went away looks for another copy before it ends
    #[arg(long, env = "SOUK_RESUME_WITHIN", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) resume_within: Duration,

    /// How often a live event stream that has nothing to say says that
    #[arg(long, env = "SOUK_KEEP_ALIVE", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) keep_alive: Duration,

    /// Connections; more wait to be accepted
    #[arg(long, env = "SOUK_MAX_CONNECTIONS", value_name = "NUMBER", default_value_t = 8192)]
    pub(crate) max_connections: usize,

    /// How long the head of a request may take, from its first byte on (of a new connection: from its beginning)
    #[arg(long, env = "SOUK_HEAD_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) head_timeout: Duration,

    /// How long a connection is kept between two requests
    #[arg(long, env = "SOUK_IDLE_TIMEOUT", value_name = "DURATION", default_value = "75s", value_parser = humantime::parse_duration)]
    pub(crate) idle_timeout: Duration,
}

impl Config {
    pub(crate) fn copy(&self) -> String {
        self.copy.clone().unwrap_or_else(|| self.service.listen.port().to_string())
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
