//! How many there are, and how many may be away.

use serde_json::Value;

use crate::objects::{matches, text};
use crate::{Complaints, Object, Shop};

/// A budget that never lets a pod go blocks the upkeep of its node; and so does one that keeps pods which are not ready
/// until others are.
pub fn budgets_leave_room(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for budget in shop.of("PodDisruptionBudget") {
        if text(budget.at("/spec/unhealthyPodEvictionPolicy")) != "AlwaysAllow" {
            complaints.push(format!("{}: unhealthyPodEvictionPolicy: AlwaysAllow", budget.id()));
        }
        let guarded = shop.pods();
        let guarded =
            guarded.iter().filter(|pod| matches(budget.at("/spec/selector"), &pod.labels));
        for pod in guarded {
            let replicas = replicas(shop, pod.owner);
            if room(budget, replicas) == 0 {
                let id = pod.owner.id();
                complaints.push(format!(
                    "{}: leaves no room: {id} has {replicas} replica(s), and not one of them may go",
                    budget.id()
                ));
            }
        }
    }
    complaints
}

/// How many of so many the budget lets go.
fn room(budget: &Object, replicas: u64) -> u64 {
    let least = budget.at("/spec/minAvailable");
    if least.is_null() {
        share(budget.at("/spec/maxUnavailable"), replicas)
    } else {
        replicas.saturating_sub(share(least, replicas))
    }
}

/// A number, or a percentage, rounded up.
fn share(value: &Value, of: u64) -> u64 {
    let percent = text(value).strip_suffix('%').and_then(|digits| digits.parse::<u64>().ok());
    percent.map_or(value.as_u64().unwrap_or(0), |percent| (percent * of).div_ceil(100))
}

/// The fewest that a workload has: what it says, or its autoscaler's minimum, or 1.
fn replicas(shop: &Shop, workload: &Object) -> u64 {
    let scaled =
        autoscalers(shop).find(|scaler| target(scaler) == (workload.kind(), workload.name()));
    let minimum = scaled.map(|scaler| {
        let parts = ["/spec/minReplicas", "/spec/minReplicaCount"];
        parts.iter().find_map(|part| scaler.at(part).as_u64()).unwrap_or(1)
    });
    minimum.or_else(|| workload.at("/spec/replicas").as_u64()).unwrap_or(1)
}

/// The most that a workload has: what it says, or its autoscaler's maximum, or 1.
pub fn most(shop: &Shop, workload: &Object) -> u64 {
    let scaled =
        autoscalers(shop).find(|scaler| target(scaler) == (workload.kind(), workload.name()));
    let maximum = scaled.and_then(|scaler| {
        let parts = ["/spec/maxReplicas", "/spec/maxReplicaCount"];
        parts.iter().find_map(|part| scaler.at(part).as_u64())
    });
    maximum.or_else(|| workload.at("/spec/replicas").as_u64()).unwrap_or(1)
}

/// How many more there are while a Deployment is rolled out: a number, or by default a quarter of a few.
pub fn surge(workload: &Object) -> u64 {
    workload.at("/spec/strategy/rollingUpdate/maxSurge").as_u64().unwrap_or(1)
}

fn autoscalers(shop: &Shop) -> impl Iterator<Item = &Object> {
    let kinds = ["HorizontalPodAutoscaler", "ScaledObject"];
    shop.objects.iter().filter(move |object| kinds.contains(&object.kind()))
}

fn target(scaler: &Object) -> (&str, &str) {
    let target = scaler.at("/spec/scaleTargetRef");
    (target["kind"].as_str().unwrap_or("Deployment"), text(&target["name"]))
}

/// Every apply would undo what the autoscaler did.
pub fn autoscaled_say_none(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for scaler in autoscalers(shop) {
        let (kind, name) = target(scaler);
        match shop.find(kind, name) {
            None => complaints.push(format!("{}: there is no {kind}/{name} to scale", scaler.id())),
            Some(workload) if !workload.at("/spec/replicas").is_null() => {
                let id = workload.id();
                complaints.push(format!("{id}: leave out replicas: {} decides", scaler.id()));
            }
            Some(_) => {}
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(spec: &str) -> Object {
        let text = format!("kind: PodDisruptionBudget\nspec: {{{spec}}}\n");
        crate::parse(&text).expect("YAML").remove(0)
    }

    #[test]
    fn room_is_what_a_budget_lets_go() {
        for (spec, replicas, expected) in [
            ("minAvailable: 1", 1, 0),
            ("minAvailable: 1", 2, 1),
            ("minAvailable: 50%", 3, 1),
            ("minAvailable: 100%", 3, 0),
            ("maxUnavailable: 1", 1, 1),
            ("maxUnavailable: 0", 5, 0),
            ("maxUnavailable: 10%", 2, 1),
        ] {
            assert_eq!(room(&budget(spec), replicas), expected, "{spec} of {replicas}");
        }
    }
}
