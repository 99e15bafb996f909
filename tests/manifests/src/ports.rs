//! Ports. A Service may name a port that no container opens, and a probe, too: the one has no
//! endpoints then, and the other's pod never becomes ready.

use serde_json::Value;

use crate::objects::{Pod, list_of, matches, text};
use crate::{Complaints, Object, Shop};

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
    for container in pod.containers() {
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let Some(port) = probed(&container.value[probe]) else { continue };
            let there = container.ports().iter().any(|(number, name)| match port {
                Value::String(wanted) => wanted == name,
                _ => port.as_u64() == Some(*number),
            });
            if !there {
                let (id, name) = (pod.owner.id(), text(&container.value["name"]));
                complaints
                    .push(format!("{id}: {name}'s {probe} asks port {port}, which it has not"));
            }
        }
    }
    complaints
}

fn probed(probe: &Value) -> Option<&Value> {
    let kinds = ["httpGet", "tcpSocket", "grpc"].into_iter();
    kinds.map(|kind| &probe[kind]["port"]).find(|port| !port.is_null())
}
