//! Where the databases are.

use std::num::NonZeroU32;

use secrecy::SecretString;

/// The databases of one context.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// PostgreSQL URLs, separated by commas: one, or one for each range of the 256 shards, in their order
    #[arg(
        long,
        env = "SOUK_DATABASE_URLS",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    pub database_urls: Vec<SecretString>,

    /// Connections to each database for reading, and as many for writing, at most
    #[arg(long, env = "SOUK_DATABASE_CONNECTIONS", default_value = "12")]
    pub database_connections: NonZeroU32,

    /// How long a request waits for a connection, in milliseconds; then it is refused
    #[arg(long, env = "SOUK_DATABASE_ACQUIRE_MS", default_value = "500")]
    pub database_acquire_ms: NonZeroU32,
}
