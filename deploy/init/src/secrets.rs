//! Certificates and passwords: who gets what.
//!
//! Every process has a folder of its own, which is mounted into its container and into no other, so
//! that whoever takes over one process has the secrets of that one. `authority/` keeps the
//! originals and the authority's key, and is mounted nowhere else.
//!
//! ```text
//! gateway/                  ca.pem cert.pem key.pem redis-url; URLs of stores name ca.pem
//! provisioner/              ca.pem cert.pem key.pem nats-url
//! product/ cart/ order/     ca.pem cert.pem key.pem database-urls nats-url redis-url token.pem
//! user/                     the same as product, token-key.pem staff-password
//! payment/                  the same as product, webhook-secret
//! psp/                      ca.pem webhook-secret
//! staff/                    ca.pem staff-password: for those who act as staff from outside
//! edge/                     ca.pem
//! postgres/                 ca.pem cert.pem key.pem password databases.sql
//! nats/                     ca.pem cert.pem key.pem authorization.conf
//! redis/                    ca.pem cert.pem key.pem password redis.conf
//! ```

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use certs::Authority;
use operator::layout::{Layout, replace};
use operator::plan::{CONTEXTS, GATEWAY, databases};
use operator::secrets::Secrets;
use souk::cli::SERVICES;
use stores::{BUS_PROVISIONER, Server, bus_authorization, database_statements, redis_acl};

use crate::cli;

/// Writes what is missing, and issues the certificates anew; says what it did.
///
/// # Errors
/// When a file cannot be read or written, or carts and orders are kept in another number of
/// databases already.
pub fn write(options: &cli::Secrets) -> Result<String> {
    let layout = Layout::at(&options.dir.join("authority"));
    folder(&layout.secrets())?;
    let secrets = Secrets::open_or_create(&layout)?;
    refuse_other_shards(&layout, options.shards)?;
    let authority = Authority::open_or_create(layout.certs_of("authority"))?;
    let giving = Giving { options, secrets: &secrets };
    for process in SERVICES.into_iter().chain([BUS_PROVISIONER]) {
        authority.issue(process, options.dir.join(process))?;
    }
    for store in Server::ALL.map(Server::key) {
        authority.issue_local(store, options.dir.join(store))?;
    }
    for name in CLIENTS_ALONE {
        giving.give(name, "ca.pem", authority.certificate())?;
    }
    for (context, sharded) in CONTEXTS {
        giving.context(context, sharded)?;
    }
    giving.of_single_processes()?;
    giving.stores()?;
    let (dir, shards) = (options.dir.display(), options.shards);
    Ok(format!("certificates and passwords are in {dir}, for {shards} shard(s)"))
}

/// PostgreSQL reads `databases.sql` once, when it has no data.
fn refuse_other_shards(layout: &Layout, shards: u16) -> Result<()> {
    let file = layout.secrets().join("shards");
    if let Ok(there) = fs::read_to_string(&file) {
        ensure!(
            there == shards.to_string(),
            "the databases were made for {there} shard(s), not {shards}: keep SOUK_SHARDS={there}, \
             or begin anew without the volumes"
        );
        return Ok(());
    }
    replace(&file, shards.to_string().as_bytes())
}

/// Who calls others over TLS, and has no certificate.
const CLIENTS_ALONE: [&str; 3] = ["psp", "staff", "edge"];

/// How a URL names the authority, where a container has its folder.
const ROOT: &str = "sslrootcert=/run/souk/ca.pem";

/// Redis answers to TLS alone. Its clients have passwords, and no certificates.
const REDIS_TLS: &str = "port 0\ntls-port 6379\ntls-auth-clients no\n\
    tls-ca-cert-file /run/souk/ca.pem\ntls-cert-file /run/souk/cert.pem\ntls-key-file /run/souk/key.pem\n";

struct Giving<'a> {
    options: &'a cli::Secrets,
    secrets: &'a Secrets,
}

impl Giving<'_> {
    fn give(&self, to: &str, file: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let folder_of = self.options.dir.join(to);
        folder(&folder_of)?;
        replace(&folder_of.join(file), content.as_ref())
    }

    fn copy(&self, to: &str, file: &str, original: &Path) -> Result<()> {
        let content = fs::read(original).with_context(|| original.display().to_string())?;
        self.give(to, file, content)
    }

    /// What a service with databases needs.
    fn context(&self, context: &str, sharded: bool) -> Result<()> {
        let cli::Secrets { shards, postgres, .. } = self.options;
        let password = self.secrets.database_password(context)?;
        let url = |name| {
            format!(
                "postgres://souk_{context}:{password}@{postgres}/{name}?sslmode=verify-full&{ROOT}"
            )
        };
        let urls: Vec<String> = databases(context, sharded, *shards).into_iter().map(url).collect();
        self.give(context, "database-urls", urls.join(","))?;
        self.bus(context)?;
        self.redis(context)?;
        self.copy(context, "token.pem", &self.secrets.token_key())
    }

    fn bus(&self, user: &str) -> Result<()> {
        let password = self.secrets.bus_password(user)?;
        let url = format!("tls://{user}:{password}@{}?{ROOT}", self.options.nats);
        self.give(user, "nats-url", url)
    }

    fn redis(&self, user: &str) -> Result<()> {
        let password = self.secrets.redis_password(user)?;
        let url = format!("rediss://{user}:{password}@{}?{ROOT}", self.options.redis);
        self.give(user, "redis-url", url)
    }

    fn of_single_processes(&self) -> Result<()> {
        let secrets = self.secrets;
        self.bus(BUS_PROVISIONER)?;
        self.redis(GATEWAY)?;
        self.copy("user", "token-key.pem", &secrets.token_signing_key())?;
        self.copy("user", "staff-password", &secrets.staff_password_file())?;
        self.copy("staff", "staff-password", &secrets.staff_password_file())?;
        self.copy("payment", "webhook-secret", &secrets.webhook_secret_file())?;
        self.copy("psp", "webhook-secret", &secrets.webhook_secret_file())
    }

    fn stores(&self) -> Result<()> {
        self.give("postgres", "password", self.secrets.store_password("postgres")?)?;
        self.give("postgres", "databases.sql", self.databases()?)?;
        let nats = self.secrets.store_password("nats")?;
        let authorization = bus_authorization(&nats, |context| self.secrets.bus_password(context))?;
        self.give("nats", "authorization.conf", authorization)?;
        let redis = self.secrets.store_password("redis")?;
        let users = redis_acl(|user| self.secrets.redis_password(user))?;
        self.give("redis", "redis.conf", format!("{REDIS_TLS}requirepass {redis}\n{users}"))?;
        self.give("redis", "password", redis)
    }

    /// For `psql`: roles and databases of all contexts.
    fn databases(&self) -> Result<String> {
        let mut statements = String::new();
        for (context, sharded) in CONTEXTS {
            let password = self.secrets.database_password(context)?;
            for name in databases(context, sharded, self.options.shards) {
                let role = format!("souk_{context}");
                statements.push_str(&database_statements(&name, &role, &password)?);
            }
        }
        Ok(statements)
    }
}

/// Makes a folder that only its owner may enter, unless it is there.
fn folder(path: &PathBuf) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}
