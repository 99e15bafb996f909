//! The map: who calls whom, in a cluster. Whoever adds an edge adds it here, and the rules then ask
//! for its policies and for what the caller is told.

use souk::cli::SERVICES;

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
const CALLS: [Edge; 13] = [
    (ANYBODY, "edge"),
    ("edge", "gateway"),
    ("gateway", "product"),
    ("gateway", "user"),
    ("gateway", "cart"),
    ("gateway", "order"),
    ("gateway", "payment"),
    ("order", "cart"),
    ("order", "product"),
    ("order", "user"),
    ("payment", "psp"),
    ("psp", "edge"), // webhooks
    ("loadgen", "edge"),
];

/// Every edge but those to [`DNS`], which all have.
pub fn map() -> Vec<Edge> {
    let contexts = SERVICES.into_iter().filter(|service| *service != "gateway");
    let stores = contexts.flat_map(|service| [(service, "postgres"), (service, "nats")]);
    let spans = SERVICES.map(|service| (service, COLLECTOR));
    let metrics = SERVICES.map(|service| (PROMETHEUS, service));
    CALLS.into_iter().chain(stores).chain(spans).chain(metrics).collect()
}
