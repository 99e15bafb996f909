//! Keys and passwords of one shop. Each is made when it is first needed and then stays, because
//! what is in the stores depends on it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use identity::signer;

use crate::layout::{Layout, replace};

/// The e-mail address of the staff account.
pub const STAFF_EMAIL: &str = "staff@souk.example";

/// Where the secrets are.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Makes those that are missing.
    ///
    /// # Errors
    /// When a file cannot be written, or the system has no randomness.
    pub fn open_or_create(layout: &Layout) -> Result<Self> {
        let secrets = Self::at(layout);
        if !secrets.token_key().exists() {
            let keys = signer::generate()?;
            replace(&secrets.token_signing_key(), keys.private_pem.as_bytes())?;
            replace(&secrets.token_key(), keys.public_pem.as_bytes())?;
        }
        for file in [secrets.staff_password_file(), secrets.webhook_secret_file()] {
            password(&file)?;
        }
        // Another at each start: a page that was left open tells the old one to whoever has the port meanwhile.
        replace(&secrets.console_token_file(), random_hex().as_bytes())?;
        Ok(secrets)
    }

    /// Those of a shop that was started before.
    pub fn at(layout: &Layout) -> Self {
        Self { folder: layout.secrets() }
    }

    /// Access tokens are checked with this key.
    pub fn token_key(&self) -> PathBuf {
        self.folder.join("token.pem")
    }

    /// Access tokens are signed with this key.
    pub fn token_signing_key(&self) -> PathBuf {
        self.folder.join("token-key.pem")
    }

    /// The password of [`STAFF_EMAIL`].
    pub fn staff_password_file(&self) -> PathBuf {
        self.folder.join("staff-password")
    }

    /// What the payment provider signs its webhooks with.
    pub fn webhook_secret_file(&self) -> PathBuf {
        self.folder.join("webhook-secret")
    }

    /// What a browser proves to the console that its address was given to it.
    pub fn console_token_file(&self) -> PathBuf {
        self.folder.join("console-token")
    }

    /// The token of the console.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn console_token(&self) -> Result<String> {
        read(&self.console_token_file())
    }

    /// The password of [`STAFF_EMAIL`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn staff_password(&self) -> Result<String> {
        read(&self.staff_password_file())
    }

    /// The password of a context's database role.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn database_password(&self, context: &str) -> Result<String> {
        password(&self.folder.join(format!("database-{context}")))
    }

    /// The password of a context's user on the bus, where stores do not make their own: in containers.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn bus_password(&self, context: &str) -> Result<String> {
        password(&self.folder.join(format!("bus-{context}")))
    }

    /// The password of a user of Redis (a context or the gateway), where stores do not make their own: in containers.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn redis_password(&self, user: &str) -> Result<String> {
        password(&self.folder.join(format!("redis-{user}")))
    }

    /// The password of a store, where stores do not make their own: in containers.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn store_password(&self, store: &str) -> Result<String> {
        password(&self.folder.join(format!("store-{store}")))
    }
}

fn password(path: &Path) -> Result<String> {
    if !path.exists() {
        replace(path, random_hex().as_bytes())?;
    }
    read(path)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// 192 random bits: needs no quoting anywhere.
pub fn random_hex() -> String {
    rand::random::<[u8; 24]>().iter().map(|byte| format!("{byte:02x}")).collect()
}
