//! Everything that one test has to itself.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use certs::Authority;
use identity::{Role, Signer, signer};
use kernel::{FamilyId, UserId};
use messaging::ProvisionerOptions;
use rpc::{Channel, Identity, Targets};
use stores::{Endpoints, Home, Options, Psql, Server, Stores, Tools};

use crate::folder::{Folder, NATS};
use crate::provisioner::Provisioning;

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A test's own databases, bus, keys and certificates. PostgreSQL and Redis are shared servers,
/// started on demand and left running for the next test; NATS is the test's own, because the
/// names of streams are the shop's. Dropped, it drops its databases and ends its NATS.
pub struct World {
    folder: Folder,
    tools: Tools,
    shared: Endpoints,
    provisioner: Option<Provisioning>,
    nats: Option<Stores>,
    nats_url: String,
    bus_urls: BTreeMap<String, String>,
    authority: Authority,
    signer: Signer,
    databases: std::sync::Mutex<Vec<String>>,
}

impl World {
    /// Starts what is missing.
    #[expect(clippy::new_without_default, reason = "it starts servers")]
    pub fn new() -> Self {
        let mut world = Self::with_nats(1);
        world.provision(ProvisionerOptions::default(), stores::bus_topology().collect());
        world
    }

    /// With so many nats-servers: none, one, or a cluster. Nobody configures them before [`World::provision`].
    pub fn with_nats(nats_servers: u8) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let home = Home::find().expect("tests run inside the repository");
        let tools = stores::provide(&home, &Server::ALL, &|line| eprintln!("{line}"))
            .expect("PostgreSQL, Redis and NATS");
        let shared = Stores::start_shared(&home.test_stores(), &tools, &Options::default());
        let shared = shared.expect("the shared stores").endpoints().expect("their passwords");
        let folder = Folder::new(&home);
        let only_nats = Options {
            postgres_url: Some(shared.postgres_url.clone()),
            redis_url: Some(shared.redis_url.clone()),
            nats_servers,
            ..Options::default()
        };
        let start = || Stores::start(&folder.path.join(NATS), &tools, &only_nats).expect("NATS");
        let nats = (nats_servers > 0).then(start);
        let at = nats.as_ref().map(|nats| nats.endpoints().expect("passwords"));
        let (nats_url, bus_urls) = at.map(|at| (at.nats_url, at.bus_urls)).unwrap_or_default();
        let authority = Authority::open_or_create(folder.path.join("ca")).expect("a CA");
        let keys = signer::generate().expect("randomness");
        let signer = Signer::from_pem(keys.private_pem.as_bytes()).expect("a key");
        fs::write(folder.path.join("token.pem"), keys.public_pem).expect("a file");
        fs::write(folder.path.join("token-key.pem"), keys.private_pem).expect("a file");
        Self {
            folder,
            tools,
            shared,
            provisioner: None,
            nats,
            nats_url,
            bus_urls,
            authority,
            signer,
            databases: Vec::new().into(),
        }
    }

    /// From now on the bus is configured so, for these contexts, each with those whose events it takes in.
    pub fn provision(
        &mut self,
        options: ProvisionerOptions,
        topology: Vec<(&'static str, &'static [&'static str])>,
    ) {
        drop(self.provisioner.take());
        let url = self.bus_url(stores::BUS_PROVISIONER);
        self.provisioner = Some(Provisioning::start(url, options, topology));
    }

    /// Nobody configures the bus any more.
    pub fn stop_provisioner(&mut self) {
        drop(self.provisioner.take());
    }

    /// New, empty databases: one for each shard. Their URLs.
    pub fn databases(&self, context: &str, shards: usize) -> Vec<String> {
        (0..shards).map(|_| self.database(context)).collect()
    }

    fn database(&self, context: &str) -> String {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{context}_{}_{number}", std::process::id());
        let url = self.psql().create_database(&self.shared.postgres_url, &name, &name, "test");
        self.databases.lock().expect("no panic").push(name);
        url.expect("a database")
    }

    fn psql(&self) -> Psql {
        Psql::of(&self.tools).expect("psql is beside the server")
    }

    /// Runs SQL as the superuser in the database at `url`. Answers what psql prints.
    pub fn sql(&self, url: &str, statements: &str) -> String {
        self.psql().run(url, statements).expect("the statements run")
    }

    /// The test's own NATS.
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// Where a context reaches the bus, as the user that may do what the context has to.
    pub fn bus_url(&self, context: &str) -> &str {
        self.bus_urls.get(context).expect("a user of the bus")
    }

    /// The servers of [`World::nats_url`], to stop, wipe and start.
    pub fn nats(&mut self) -> &mut Stores {
        self.nats.as_mut().expect("a world with NATS")
    }

    /// The shared Redis, as the user that may do everything.
    pub fn redis_url(&self) -> &str {
        &self.shared.redis_url
    }

    /// Where a context or the gateway reaches the shared Redis, as the user that may do what it has to.
    pub fn redis_url_of(&self, context: &str) -> &str {
        self.shared.redis_urls.get(context).expect("a user of Redis")
    }

    /// A folder of this test alone.
    pub fn folder(&self) -> PathBuf {
        self.folder.path.clone()
    }

    /// The certificate folder of a process.
    pub fn tls_dir(&self, process: &str) -> PathBuf {
        let folder = self.folder.path.join("tls").join(process);
        if !folder.exists() {
            self.authority.issue(process, &folder).expect("a certificate");
        }
        folder
    }

    /// The key that access tokens are checked with.
    pub fn token_key(&self) -> PathBuf {
        self.folder.path.join("token.pem")
    }

    /// The key that access tokens are signed with.
    pub fn token_signing_key(&self) -> PathBuf {
        self.folder.path.join("token-key.pem")
    }

    /// `Bearer …` for a user, valid for ten minutes.
    pub fn bearer(&self, user: UserId, role: Role) -> String {
        self.bearer_for(user, role, Duration::from_secs(600))
    }

    /// `Bearer …` for a user, valid for so long.
    pub fn bearer_for(&self, user: UserId, role: Role, valid: Duration) -> String {
        self.bearer_of(FamilyId::mint(), user, role, valid)
    }

    /// The same for a user's sign-in.
    pub fn bearer_of(&self, family: FamilyId, user: UserId, role: Role, valid: Duration) -> String {
        let token = self.signer.issue(user, role, family, kernel::clock::now(), valid);
        format!("Bearer {}", token.expect("a token"))
    }

    /// A channel to the server `name` at these addresses, as the process `caller`.
    pub fn channel(&self, caller: &str, name: &'static str, at: &[SocketAddr]) -> Channel {
        let identity = Identity::load(&rpc::tls::Options { tls_dir: self.tls_dir(caller) });
        let targets: Vec<String> = at.iter().map(SocketAddr::to_string).collect();
        let targets: Targets = targets.join(",").parse().expect("addresses");
        rpc::connect(name, &targets, &identity.expect("a certificate"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop_provisioner();
        if let Some(nats) = self.nats.take()
            && let Err(error) = nats.stop()
        {
            eprintln!("NATS: {error}");
        }
        let names = std::mem::take(self.databases.get_mut().expect("no panic"));
        for name in names {
            let drop = format!("drop database if exists {name} with (force); drop role {name};");
            if let Err(error) = self.psql().run(&self.shared.postgres_url, &drop) {
                eprintln!("database {name}: {error}");
            }
        }
    }
}
