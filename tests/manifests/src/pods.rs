//! Pods: how they end, and what the namespace lets in.

use std::time::Duration;

use serde_json::Value;

use crate::objects::{Container, Pod, list_of, text};
use crate::{Complaints, Shop};

/// What a process of ours needs at most to end, unless it is told otherwise (`SOUK_STOP_LIMIT`).
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What a cluster grants unless it is told otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// A process drains by itself and within the grace period; nothing sleeps for it beforehand.
pub fn end_by_themselves(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        let grace =
            pod.spec()["terminationGracePeriodSeconds"].as_u64().map_or(GRACE, Duration::from_secs);
        for container in pod.containers() {
            let id = pod.owner.id();
            if !container.value["lifecycle"]["preStop"].is_null() {
                complaints.push(format!(
                    "{id}: no preStop: the process waits by itself (SOUK_DRAIN_WAIT)"
                ));
            }
            let (wait, limit) = (
                told(shop, container, "SOUK_DRAIN_WAIT"),
                told(shop, container, "SOUK_STOP_LIMIT"),
            );
            let limit = limit.unwrap_or(STOP_LIMIT);
            if container.program().is_some()
                && (limit >= grace || wait.is_some_and(|wait| wait >= limit))
            {
                complaints.push(format!(
                    "{id}: SOUK_DRAIN_WAIT < SOUK_STOP_LIMIT ({limit:?}) < terminationGracePeriodSeconds ({grace:?})"
                ));
            }
        }
    }
    complaints
}

fn told(shop: &Shop, container: Container, name: &str) -> Option<Duration> {
    let value = shop.variables_of(container.value).remove(name)??;
    let (digits, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit())?);
    let number = digits.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(60 * number)),
        _ => None,
    }
}

/// What the Pod Security Standard "restricted" wants, and the namespace enforces: a pod without it
/// is refused when it is made, long after its workload was taken. And no pod gets a token.
pub fn are_restricted(shop: &Shop) -> Complaints {
    let enforced = |namespace: &&crate::Object| {
        text(&namespace.at("/metadata/labels")["pod-security.kubernetes.io/enforce"])
            == "restricted"
    };
    let open = shop.of("Namespace").filter(|namespace| !enforced(namespace));
    let open =
        open.map(|namespace| format!("{}: enforce pod security \"restricted\"", namespace.id()));
    let pods = shop.pods();
    open.chain(
        pods.iter().flat_map(|pod| {
            lacks(pod).into_iter().map(|lack| format!("{}: {lack}", pod.owner.id()))
        }),
    )
    .collect()
}

fn lacks(pod: &Pod) -> Complaints {
    let spec = pod.spec();
    let token =
        (spec["automountServiceAccountToken"] != Value::Bool(false)).then_some("gets a token");
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().find(|what| spec[what] == true);
    let host =
        list_of(&spec["volumes"]).any(|volume| !volume["hostPath"].is_null()).then_some("hostPath");
    let of_pod = token.into_iter().chain(shared).chain(host).map(str::to_owned);
    let of_containers = pod.containers().flat_map(|container| {
        let of_one = move |lack| format!("{}: {lack}", container.name());
        lacking(&spec["securityContext"], &container.value["securityContext"])
            .into_iter()
            .map(of_one)
    });
    of_pod.chain(of_containers).collect()
}

fn lacking(pod: &Value, own: &Value) -> Vec<&'static str> {
    let either = |pointer: &str| own.pointer(pointer).or_else(|| pod.pointer(pointer));
    let dropped = list_of(&own["capabilities"]["drop"]).any(|one| text(one) == "ALL");
    let added = list_of(&own["capabilities"]["add"]).any(|one| text(one) != "NET_BIND_SERVICE");
    let profile = either("/seccompProfile/type").map_or("", text);
    let wanted = [
        (either("/runAsNonRoot") == Some(&Value::Bool(true)), "runAsNonRoot"),
        (either("/runAsUser") != Some(&Value::from(0)), "runAsUser 0"),
        (own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation: false"),
        (own["privileged"] != true, "privileged"),
        (own["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem"),
        (dropped && !added, "capabilities: drop ALL, add none"),
        (["RuntimeDefault", "Localhost"].contains(&profile), "seccompProfile"),
    ];
    wanted.into_iter().filter(|(held, _)| !held).map(|(_, what)| what).collect()
}
