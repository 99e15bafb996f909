//! `user --help` is the configuration reference.

use std::path::PathBuf;

use secrecy::SecretString;
use service::HasOptions;

/// The user service: accounts, credentials, addresses and sign-ins.
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

    /// Ed25519 private key (PEM, PKCS#8) to sign access tokens with
    #[arg(long, env = "SOUK_TOKEN_SIGNING_KEY_FILE")]
    pub(crate) token_signing_key: PathBuf,

    /// E-mail of a staff account that is opened at start when nobody has it
    #[arg(long, env = "SOUK_STAFF_EMAIL", requires = "staff_password_file")]
    pub(crate) staff_email: Option<SecretString>,

    /// File with the password of that account, alone on its first line
    #[arg(long, env = "SOUK_STAFF_PASSWORD_FILE", requires = "staff_email")]
    pub(crate) staff_password_file: Option<PathBuf>,
}

impl HasOptions for Config {
    fn service(&self) -> &service::Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}
