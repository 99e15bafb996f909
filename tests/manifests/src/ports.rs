//! Ports. A Service may name a port that no container opens, and a probe, too: the one has no
//! endpoints then, and the other's pod never becomes ready.

use serde_json::Value;

use crate::objects::{Container, Pod, list_of, matches};
use crate::{Complaints, Object, Shop};

/// How containers name their admin port.
const ADMIN: &str = "admin";

/// What Services and probes point to is opened by the containers.
pub fn exist(shop: &Shop) -> Complaints {
    let pods = shop.pods();
    let services = shop.of("Service").flat_map(|service| of_service(service, &pods));
    services.chain(pods.iter().flat_map(of_probes)).collect()
}

fn of_service(service: &Object, pods: &[Pod]) -> Complaints {
    let selector = serde_json::json!({"matchLabels": service.at("/spec/selector")});
    let selected: Vec<_> = pods.iter().filter(|pod| matches(&selector, &pod.labels)).collect();
    let mut complaints = Vec::new();
    for port in list_of(service.at("/spec/ports")) {
        let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
        for pod in selected.iter().filter(|pod| pod.port(target).is_none()) {
            complaints.push(format!("{}: {} has no port {target}", service.id(), pod.owner.id()));
        }
    }
    complaints
}

fn of_probes(pod: &Pod) -> Complaints {
    let mut complaints = Vec::new();
    for (container, name, port, _) in probes(pod) {
        if opened(container, port).is_none() {
            let (id, of) = (pod.owner.id(), container.name());
            complaints.push(format!("{id}: {of}'s {name} asks port {port}, which it has not"));
        }
    }
    complaints
}

/// An admin port that leaves the machine speaks TLS alone: a plain probe, or a plain scrape, gets nothing.
pub fn admin_ports_are_asked_over_tls(shop: &Shop) -> Complaints {
    shop.pods().iter().flat_map(in_the_clear).collect()
}

fn in_the_clear(pod: &Pod) -> Complaints {
    let id = pod.owner.id();
    let plain = probes(pod).filter(|(container, _, port, probe)| {
        opened(*container, port).is_some_and(|name| name == ADMIN)
            && probe["httpGet"]["scheme"] != "HTTPS"
    });
    let mut complaints: Vec<_> = plain
        .map(|(container, name, ..)| format!("{id}: {}'s {name} says no HTTPS", container.name()))
        .collect();
    let annotations = pod.owner.at("/spec/template/metadata/annotations");
    let is_scraped = annotations["prometheus.io/scrape"] == "true";
    if is_scraped && annotations["prometheus.io/scheme"] != "https" {
        complaints.push(format!("{id}: prometheus.io/scheme is not https"));
    }
    complaints
}

/// All probes of a pod: container, name, port, and the probe itself.
fn probes<'a>(
    pod: &Pod<'a>,
) -> impl Iterator<Item = (Container<'a>, &'static str, &'a Value, &'a Value)> {
    let names = ["startupProbe", "readinessProbe", "livenessProbe"];
    let all = pod.containers().flat_map(move |it| names.map(|name| (it, name, &it.value[name])));
    all.filter_map(|(it, name, probe)| Some((it, name, probed(probe)?, probe)))
}

/// The name of a port that the container opens.
fn opened<'a>(container: Container<'a>, port: &Value) -> Option<&'a str> {
    let found = container.ports().into_iter().find(|(number, name)| match port {
        Value::String(wanted) => wanted == name,
        _ => port.as_u64() == Some(*number),
    });
    found.map(|(_, name)| name)
}

fn probed(probe: &Value) -> Option<&Value> {
    let kinds = ["httpGet", "tcpSocket", "grpc"].into_iter();
    kinds.map(|kind| &probe[kind]["port"]).find(|port| !port.is_null())
}
