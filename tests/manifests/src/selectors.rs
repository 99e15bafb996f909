//! Selectors. One that selects nothing is no error to a cluster: a Service without endpoints, a
//! budget that guards nobody, a policy that allows nothing.

use serde_json::Value;

use crate::objects::{Object, labels, list_of, matches};
use crate::{Complaints, Shop};

/// Services, budgets and policies select pods that are there.
pub fn select_something(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for object in &shop.objects {
        for (place, selector) in selectors(object) {
            if !shop.pods().iter().any(|pod| matches(&selector, &pod.labels)) {
                complaints.push(format!("{}: {place} selects no pod", object.id()));
            }
        }
    }
    complaints
}

/// The selectors of an object that are about pods of its own namespace, with their places.
fn selectors(object: &Object) -> Vec<(&'static str, Value)> {
    match object.kind() {
        // Not a label selector, but the labels themselves.
        "Service" => {
            vec![("selector", serde_json::json!({"matchLabels": object.at("/spec/selector")}))]
        }
        "PodDisruptionBudget" => vec![("selector", object.at("/spec/selector").clone())],
        "NetworkPolicy" => {
            let mut all = vec![("podSelector", object.at("/spec/podSelector").clone())];
            for (rules, ends) in [("ingress", "from"), ("egress", "to")] {
                let rules = list_of(&object.at("/spec")[rules]);
                let peers = rules.flat_map(|rule| list_of(&rule[ends]));
                let local = peers.filter(|peer| peer["namespaceSelector"].is_null());
                let local = local.filter(|peer| !peer["podSelector"].is_null());
                all.extend(local.map(|peer| (ends, peer["podSelector"].clone())));
            }
            all
        }
        _ => Vec::new(),
    }
}

/// A workload finds the pods that it makes. (An API server refuses it otherwise, but no schema.)
pub fn find_their_own_pods(shop: &Shop) -> Complaints {
    let kinds = ["Deployment", "StatefulSet", "DaemonSet"];
    let workloads = shop.objects.iter().filter(|object| kinds.contains(&object.kind()));
    let astray = workloads.filter(|object| {
        let own = labels(object.at("/spec/template/metadata/labels"));
        !matches(object.at("/spec/selector"), &own)
    });
    astray
        .map(|object| format!("{}: its selector does not match its own pods", object.id()))
        .collect()
}
