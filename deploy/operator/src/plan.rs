//! What is started, and what each process is told. A pure function of the places of everything:
//! nothing is started here.

mod console;
mod environment;

pub use console::{CONSOLE, CONSOLE_HOST};

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use souk::cli::{Replicas, SERVICES};

use crate::layout::Layout;
use crate::ports::Ports;
use crate::secrets::{STAFF_EMAIL, Secrets};

use environment::Environment;

/// The payment provider's process; not one of the shop's.
pub const PSP: &str = "psp";

/// The process that customers speak to.
pub const GATEWAY: &str = "gateway";

/// The process that keeps the bus's streams and consumers.
pub const PROVISIONER: &str = stores::BUS_PROVISIONER;

/// Contexts with databases, and whether they are sharded.
pub const CONTEXTS: [(&str, bool); 5] =
    [("product", false), ("user", false), ("cart", true), ("order", true), ("payment", false)];

/// The databases of a context.
pub fn databases(context: &str, sharded: bool, shards: u16) -> Vec<String> {
    match sharded {
        true => (0..shards).map(|shard| format!("souk_{context}_{shard}")).collect(),
        false => vec![format!("souk_{context}")],
    }
}

/// One process to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// `order`, and `order-2` for the second of them.
    pub name: String,
    /// What it is one of.
    pub service: String,
    /// Where it serves.
    pub listen: SocketAddr,
    /// Where it answers /readyz.
    pub admin: SocketAddr,
    /// Where it serves over TLS clients that have no certificate: the gateway does.
    pub tls: Option<SocketAddr>,
}

impl Task {
    /// A process that serves no such clients.
    pub fn new(name: &str, service: &str, listen: SocketAddr, admin: SocketAddr) -> Self {
        Self { name: name.to_owned(), service: service.to_owned(), listen, admin, tls: None }
    }
}

/// Where everything that processes need is.
#[derive(Clone, Debug)]
pub struct Places {
    /// Folders.
    pub layout: Layout,
    /// Keys and passwords.
    pub secrets: Secrets,
    /// Of each context, one for each shard.
    pub database_urls: BTreeMap<String, Vec<String>>,
    /// The bus.
    pub bus_urls: BTreeMap<String, String>,
    /// Copies of each stream on it; the services' own default without it.
    pub nats_replicas: Option<u8>,
    /// Redis: of each context, and of the gateway.
    pub redis_urls: BTreeMap<String, String>,
    /// Where spans go.
    pub collector: Option<String>,
    /// How long a checkout may take; the order service's own default without it.
    pub checkout_deadline: Option<Duration>,
}

/// All processes, in the order in which they are listed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The payment provider first, then the provisioner, then the services.
    pub tasks: Vec<Task>,
    /// Services without a process of their own: the gateway's runs them.
    pub inside: Vec<Task>,
}

impl Plan {
    /// Gives every process its addresses. The first gateway gets `port` (any free one without
    /// it), further gateways the ports after it.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn new(replicas: &Replicas, port: Option<u16>, ports: &mut Ports) -> Result<Self> {
        let provider = ports.any()?;
        let mut tasks = vec![Task::new(PSP, PSP, provider, provider)];
        // It serves nothing but its admin port.
        let admin = ports.any()?;
        tasks.push(Task::new(PROVISIONER, PROVISIONER, admin, admin));
        for service in SERVICES {
            for number in 0..replicas.of(service) {
                let listen = match port.filter(|_| service == GATEWAY) {
                    Some(first) => ports.exactly(first.saturating_add(number))?,
                    None => ports.any()?,
                };
                let name = name(service, usize::from(number));
                let tls = if service == GATEWAY { Some(ports.any()?) } else { None };
                tasks.push(Task { tls, ..Task::new(&name, service, listen, ports.any()?) });
            }
        }
        Ok(Self { tasks, inside: Vec::new() })
    }

    /// Lets the gateway's process run services.
    ///
    /// # Errors
    /// When there are several gateways, or several of such a service, or none.
    pub fn put_inside(&mut self, services: &[String]) -> Result<()> {
        for service in services.iter().map(String::as_str) {
            let known = CONTEXTS.iter().any(|(context, _)| *context == service);
            ensure!(known, "{service} cannot run in the gateway's process");
        }
        for service in services.iter().map(String::as_str).chain([GATEWAY]) {
            let copies = self.of(service).count();
            ensure!(copies == 1, "{copies} of {service} cannot be in one process");
        }
        let tasks = std::mem::take(&mut self.tasks).into_iter();
        (self.inside, self.tasks) = tasks.partition(|task| services.contains(&task.service));
        Ok(())
    }

    /// The addresses of all processes of a service, `host:port` separated by commas.
    pub fn targets(&self, service: &str) -> String {
        let addresses = self.of(service).map(|task| task.listen.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The processes of a service.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &Task> {
        self.tasks.iter().chain(&self.inside).filter(move |task| task.service == service)
    }

    fn url(&self, service: &str) -> String {
        let first = self.of(service).next().map(|task| task.listen.to_string());
        format!("http://{}", first.unwrap_or_default())
    }

    /// The environment of one process.
    pub fn environment(&self, task: &Task, places: &Places) -> Vec<(String, String)> {
        let mut env = Environment::default();
        match task.service.as_str() {
            PSP => self.provider(&mut env, task, places),
            CONSOLE => console::environment(&mut env, task, places),
            _ => self.shops_own(&mut env, task, places),
        }
        env.0
    }

    fn shops_own(&self, env: &mut Environment, task: &Task, places: &Places) {
        env.set("SOUK_ADMIN_LISTEN", task.admin);
        env.path("SOUK_TLS_DIR", places.layout.certs_of(&task.service));
        if let Some(collector) = &places.collector {
            env.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
        }
        if let Some(url) = places.bus_urls.get(&task.service) {
            env.set("SOUK_NATS_URL", url);
        }
        if let Some(url) = places.redis_urls.get(&task.service) {
            env.set("SOUK_REDIS_URL", url);
        }
        if task.service == PROVISIONER {
            if let Some(replicas) = places.nats_replicas {
                env.set("SOUK_NATS_REPLICAS", replicas);
            }
            return;
        }
        env.set("SOUK_LISTEN", task.listen);
        if let Some(address) = task.tls {
            env.set("SOUK_TLS_LISTEN", address);
        }
        if let Some(urls) = places.database_urls.get(&task.service) {
            env.set("SOUK_DATABASE_URLS", urls.join(","));
            env.path("SOUK_TOKEN_PUBLIC_KEY_FILE", places.secrets.token_key());
        }
        self.peers(env, &task.service);
        own(env, &task.service, places);
        if task.service == "payment" {
            env.set("SOUK_PSP_URL", self.url(PSP));
        }
    }

    fn provider(&self, env: &mut Environment, task: &Task, places: &Places) {
        env.set("PSP_LISTEN", task.listen);
        env.path("PSP_LEDGER_DIR", places.layout.psp_ledger());
        let gateway = self.of(GATEWAY).find_map(|task| task.tls);
        if let Some(address) = gateway {
            env.set("PSP_WEBHOOK_URL", format!("https://{address}/v1/webhooks/psp"));
        }
        env.path("PSP_WEBHOOK_CA_FILE", places.layout.certs_of(GATEWAY).join("ca.pem"));
        env.path("PSP_WEBHOOK_SECRET_FILE", places.secrets.webhook_secret_file());
    }

    /// Who calls whom: the synchronous edges of the map.
    fn peers(&self, env: &mut Environment, service: &str) {
        let peers: &[&str] = match service {
            "gateway" => &["product", "user", "cart", "order", "payment"],
            "order" => &["cart", "product", "user"],
            _ => &[],
        };
        for peer in peers {
            env.set(&format!("SOUK_{}_URLS", peer.to_uppercase()), self.targets(peer));
        }
    }
}

fn own(env: &mut Environment, service: &str, places: &Places) {
    let secrets = &places.secrets;
    match service {
        "user" => {
            env.path("SOUK_TOKEN_SIGNING_KEY_FILE", secrets.token_signing_key());
            env.set("SOUK_STAFF_EMAIL", STAFF_EMAIL);
            env.path("SOUK_STAFF_PASSWORD_FILE", secrets.staff_password_file());
        }
        "payment" => env.path("SOUK_PSP_WEBHOOK_SECRET_FILE", secrets.webhook_secret_file()),
        "order" => {
            if let Some(deadline) = places.checkout_deadline {
                env.set("SOUK_CHECKOUT_DEADLINE", format!("{}ms", deadline.as_millis()));
            }
        }
        _ => {}
    }
}

/// The name of one of the processes of a service, counted from 0: `order`, `order-2`.
pub fn name(service: &str, number: usize) -> String {
    match number {
        0 => service.to_owned(),
        _ => format!("{service}-{}", number + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn plan(replicas: &str) -> Plan {
        let replicas = replicas.parse().expect("valid");
        Plan::new(&replicas, None, &mut Ports::default()).expect("free ports")
    }

    fn places() -> Places {
        let layout = Layout::at(Path::new("/run"));
        let urls =
            |(context, sharded): (&str, bool)| (context.to_owned(), databases(context, sharded, 2));
        Places {
            secrets: Secrets::at(&layout),
            layout,
            database_urls: CONTEXTS.into_iter().map(urls).collect(),
            bus_urls: stores::bus_users()
                .map(|it| (it.to_owned(), format!("nats://{it}@n")))
                .collect(),
            nats_replicas: Some(3),
            redis_urls: stores::redis_users()
                .map(|it| (it.to_owned(), format!("redis://{it}@r")))
                .collect(),
            collector: Some("http://127.0.0.1:4317".into()),
            checkout_deadline: Some(Duration::from_secs(3)),
        }
    }

    fn environment(plan: &Plan, name: &str) -> BTreeMap<String, String> {
        let task = plan.tasks.iter().find(|task| task.name == name).expect(name);
        plan.environment(task, &places()).into_iter().collect()
    }

    #[test]
    fn copies_have_names_and_addresses_of_their_own_and_callers_know_all_of_them() {
        let plan = plan("order=2,gateway=2");
        let names: Vec<&str> = plan.tasks.iter().map(|task| task.name.as_str()).collect();
        let expected = [
            "psp",
            "provisioner",
            "gateway",
            "gateway-2",
            "product",
            "user",
            "cart",
            "order",
            "order-2",
            "payment",
        ];
        assert_eq!(names, expected);
        let orders = plan.targets("order");
        assert_eq!(orders.split(',').count(), 2);
        assert_eq!(environment(&plan, "gateway-2")["SOUK_ORDER_URLS"], orders);
        let first = environment(&plan, "order");
        let second = environment(&plan, "order-2");
        assert_ne!(first["SOUK_LISTEN"], second["SOUK_LISTEN"]);
        assert_eq!(first["SOUK_TLS_DIR"], second["SOUK_TLS_DIR"], "one name, one certificate");
    }

    #[test]
    fn the_gateways_process_runs_other_services_at_their_addresses() {
        let mut plan = plan("");
        let before = plan.targets("order");
        plan.put_inside(&["order".into(), "cart".into()]).expect("one of each");
        assert_eq!(plan.targets("order"), before);
        assert!(plan.tasks.iter().all(|task| !["order", "cart"].contains(&task.name.as_str())));
        let inside: Vec<&str> = plan.inside.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(inside, ["cart", "order"]);
    }

    #[test]
    fn what_has_copies_has_processes_of_its_own() {
        for replicas in ["gateway=2", "order=2"] {
            let refused = plan(replicas).put_inside(&["order".into()]).expect_err("two");
            assert!(refused.to_string().starts_with("2 of "), "{refused}");
        }
        for service in ["ordre", "psp", "provisioner", "gateway"] {
            plan("").put_inside(&[service.into()]).expect_err(service);
        }
    }

    #[test]
    fn the_provider_is_led_to_the_gateway_over_tls() {
        let plan = plan("gateway=2");
        let gateways: Vec<&Task> = plan.of(GATEWAY).collect();
        let tls = gateways[0].tls.expect("a port");
        assert_ne!(Some(tls), gateways[1].tls);
        assert_eq!(environment(&plan, "gateway")["SOUK_TLS_LISTEN"], tls.to_string());
        let provider = environment(&plan, "psp");
        assert_eq!(provider["PSP_WEBHOOK_URL"], format!("https://{tls}/v1/webhooks/psp"));
        assert!(provider["PSP_WEBHOOK_CA_FILE"].ends_with("gateway/ca.pem"));
    }

    #[test]
    fn only_the_edges_of_the_map_are_told() {
        let plan = plan("");
        let knows = |name: &str| -> Vec<String> {
            let known = environment(&plan, name).into_keys();
            known.filter(|key| key.ends_with("_URLS") && key != "SOUK_DATABASE_URLS").collect()
        };
        assert_eq!(knows("order"), ["SOUK_CART_URLS", "SOUK_PRODUCT_URLS", "SOUK_USER_URLS"]);
        assert_eq!(knows("gateway").len(), 5);
        for context in ["product", "user", "cart", "payment", "psp", "provisioner"] {
            assert!(knows(context).is_empty(), "{context}");
        }
    }

    #[test]
    fn secrets_are_told_to_those_who_need_them_alone() {
        let plan = plan("");
        let has = |name: &str, key: &str| environment(&plan, name).contains_key(key);
        for task in &plan.tasks {
            let name = task.name.as_str();
            assert_eq!(has(name, "SOUK_TOKEN_SIGNING_KEY_FILE"), name == "user", "{name}");
            assert_eq!(has(name, "SOUK_STAFF_PASSWORD_FILE"), name == "user", "{name}");
            assert_eq!(has(name, "SOUK_PSP_WEBHOOK_SECRET_FILE"), name == "payment", "{name}");
            let has_none = ["psp", "provisioner", "gateway"].contains(&name);
            assert_eq!(has(name, "SOUK_DATABASE_URLS"), !has_none);
            assert_eq!(has(name, "SOUK_NATS_URL"), !["psp", "gateway"].contains(&name), "{name}");
            let redis_url = environment(&plan, name).remove("SOUK_REDIS_URL");
            let has_redis = !["psp", "provisioner"].contains(&name);
            assert_eq!(redis_url, has_redis.then(|| format!("redis://{name}@r")));
        }
    }

    #[test]
    fn the_sharded_contexts_get_a_url_for_each_shard() {
        let plan = plan("");
        assert_eq!(environment(&plan, "order")["SOUK_DATABASE_URLS"], "souk_order_0,souk_order_1");
        assert_eq!(environment(&plan, "payment")["SOUK_DATABASE_URLS"], "souk_payment");
        assert_eq!(environment(&plan, "order")["SOUK_CHECKOUT_DEADLINE"], "3000ms");
        assert_eq!(environment(&plan, "provisioner")["SOUK_NATS_REPLICAS"], "3");
    }

    #[test]
    fn gateways_take_the_port_that_was_asked_for_and_the_next() {
        let mut ports = Ports::default();
        let free = ports.any().expect("a port").port();
        let replicas = "gateway=1".parse().expect("valid");
        let plan = Plan::new(&replicas, Some(free), &mut Ports::default()).expect("free");
        assert_eq!(plan.targets("gateway"), format!("127.0.0.1:{free}"));
    }
}
