//! The map: who calls whom, in a cluster. Whoever adds an edge adds it here, and the rules then ask
//! for its policies and for what the caller is told.

use souk::cli::SERVICES;
use stores::BUS_PROVISIONER;

/// From whom to whom.
pub type Edge = (&'static str, &'static str);

/// Whoever the cluster lets in.
pub const ANYBODY: &str = "anybody";
/// The cluster's name servers, which everybody asks.
pub const DNS: &str = "dns";
/// A collector of traces, in whatever namespace.
pub const COLLECTOR: &str = "collector";
/// Whoever collects metrics, in whatever namespace.
pub const PROMETHEUS: &str = "prometheus";

/// The calls between processes, and what is not one of them.
const CALLS: [Edge; 15] = [
    (ANYBODY, "edge"),
    ("edge", "gateway"),
    ("gateway", "product"),
    ("gateway", "user"),
    ("gateway", "cart"),
    ("gateway", "order"),
    ("gateway", "payment"),
    ("gateway", "redis"),
    ("order", "cart"),
    ("order", "product"),
    ("order", "user"),
    ("payment", "psp"),
    ("psp", "gateway"), // webhooks
    ("loadgen", "edge"),
    (BUS_PROVISIONER, "nats"),
];

/// Every edge but those to [`DNS`], which all have.
pub fn map() -> Vec<Edge> {
    let contexts = SERVICES.into_iter().filter(|service| *service != "gateway");
    let stores = ["postgres", "nats", "redis"];
    let stores = contexts.flat_map(|service| stores.map(|store| (service, store)));
    let ours = || SERVICES.into_iter().chain([BUS_PROVISIONER]);
    let spans = ours().map(|process| (process, COLLECTOR));
    let metrics = ours().map(|process| (PROMETHEUS, process));
    CALLS.into_iter().chain(stores).chain(spans).chain(metrics).collect()
}
