//! What happens when manifests are applied again, changed: whether a cluster takes them, and whether anybody notices.

use serde_json::Value;

use crate::objects::{APP, Pod, list_of, matches, text};
use crate::references::named_maps;
use crate::{Complaints, Object, Shop};

/// Of these kinds, what is at these places stays what it was when the object was made, or the whole is refused: "field
/// is immutable". Of a StatefulSet's `spec`, all but what [`CHANGES`] names.
const IMMUTABLE: [(&str, &[&str]); 7] = [
    ("Job", &["/spec/template", "/spec/selector", "/spec/completions", "/spec/completionMode"]),
    ("Deployment", &["/spec/selector"]),
    ("DaemonSet", &["/spec/selector"]),
    ("StatefulSet", &["/spec"]),
    ("PersistentVolumeClaim", &["/spec"]),
    ("Service", &["/spec/clusterIP"]),
    ("StorageClass", &["/provisioner", "/parameters"]),
];

/// What may change of a StatefulSet.
const CHANGES: [&str; 6] = [
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "persistentVolumeClaimRetentionPolicy",
];

/// What a cluster that has `before` refuses of `after`.
pub fn refused(before: &[Object], after: &[Object]) -> Complaints {
    let mut complaints = Vec::new();
    for object in after {
        let Some(old) = before.iter().find(|old| old.id() == object.id()) else { continue };
        let kinds = IMMUTABLE.iter().filter(|(kind, _)| *kind == object.kind());
        for place in kinds.flat_map(|(_, places)| places.iter()) {
            if fixed(old, place) != fixed(object, place) {
                complaints.push(format!("{}: {place}: field is immutable", object.id()));
            }
        }
    }
    complaints
}

fn fixed(object: &Object, place: &str) -> Value {
    let mut value = object.at(place).clone();
    if object.kind() == "StatefulSet"
        && let Some(spec) = value.as_object_mut()
    {
        spec.retain(|field, _| !CHANGES.contains(&field.as_str()));
    }
    value
}

/// A Job would be refused as soon as its image has another name or version. What is to be done once is done by whoever
/// needs it (a process migrates before it serves, an init container), and what is to be done when somebody asks is a
/// CronJob that the clock never starts.
pub fn templates_can_change(shop: &Shop) -> Complaints {
    let jobs = shop.of("Job");
    jobs.map(|job| format!("{}: its template cannot be changed", job.id())).collect()
}

/// A ConfigMap under the same name changes under pods that have read it long ago. Its name ends with a hash of
/// what is in it (kustomize's generator), so that a change is one of the pods, too.
pub fn configuration_rolls_pods(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        for name in named_maps(&pod).into_iter().filter(|name| !ends_with_a_hash(name)) {
            complaints
                .push(format!("{}: a change of ConfigMap/{name} rolls no pod", pod.owner.id()));
        }
    }
    complaints
}

fn ends_with_a_hash(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.rsplit_once('-').is_some_and(|(_, hash)| hash.len() == 10 && hash.chars().all(plain))
}

/// Copies are on nodes of their own, as far as there are some.
pub fn copies_are_spread(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        let sole = pod.owner.at("/spec/replicas") == 1;
        if pod.owner.kind() != "Deployment" || sole {
            continue;
        }
        let constraints: Vec<_> = list_of(&pod.spec()["topologySpreadConstraints"]).collect();
        let id = pod.owner.id();
        if constraints.is_empty() {
            complaints.push(format!("{id}: no topologySpreadConstraints"));
        } else if !constraints.iter().all(|one| matches(&one["labelSelector"], &pod.labels)) {
            let what = "its topologySpreadConstraints do not select its own pods";
            complaints.push(format!("{id}: {what}"));
        }
    }
    complaints
}

/// PostgreSQL's parallel queries share memory, of which a container runtime gives 64 MB: "could not resize shared memory
/// segment".
pub fn shared_memory_suffices(shop: &Shop) -> Complaints {
    let pods = shop.pods();
    let databases =
        pods.iter().filter(|pod| pod.labels.get(APP).is_some_and(|app| app == "postgres"));
    let short = databases.filter(|pod| !has_shared_memory(pod));
    short.map(|pod| format!("{}: /dev/shm is no volume in memory", pod.owner.id())).collect()
}

fn has_shared_memory(pod: &Pod) -> bool {
    let in_memory = |name: &Value| {
        list_of(&pod.spec()["volumes"]).any(|volume| {
            volume["name"] == *name && text(&volume["emptyDir"]["medium"]) == "Memory"
        })
    };
    pod.serving().all(|container| {
        let mut mounts = list_of(&container.value["volumeMounts"]);
        mounts.any(|mount| text(&mount["mountPath"]) == "/dev/shm" && in_memory(&mount["name"]))
    })
}

/// Names that a cluster may have chosen otherwise. (The policy for name servers selects those by their labels, and can be
/// patched.)
const CHOSEN: [&str; 2] = ["cluster.local", "kube-dns.kube-system"];

/// No cluster's own names are written down.
pub fn no_cluster_is_assumed(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for object in &shop.objects {
        let whole = object.value().to_string();
        for name in CHOSEN.iter().filter(|name| whole.contains(*name)) {
            complaints
                .push(format!("{}: names {name}, which a cluster may call otherwise", object.id()));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> Vec<Object> {
        crate::parse(text).expect("YAML")
    }

    #[test]
    fn what_cannot_change_is_told_from_what_can() {
        let set = "kind: StatefulSet\nmetadata: {name: s}\nspec: {serviceName: s, replicas: 1, template: {a: 1}, volumeClaimTemplates: [1]}\n";
        let job = "kind: Job\nmetadata: {name: j}\nspec: {template: {a: 1}}\n";
        let said =
            |before: &str, after: &str| refused(&objects(before), &objects(after)).join("; ");
        assert_eq!(
            said(set, &set.replace("a: 1", "a: 2").replace("replicas: 1", "replicas: 2")),
            ""
        );
        assert_eq!(
            said(set, &set.replace("[1]", "[2]")),
            "StatefulSet/s: /spec: field is immutable"
        );
        assert_eq!(
            said(job, &job.replace("a: 1", "a: 2")),
            "Job/j: /spec/template: field is immutable"
        );
        assert_eq!(said(job, &job.replace("name: j", "name: other").replace("a: 1", "a: 2")), "");
    }

    #[test]
    fn a_hash_is_told_from_a_word() {
        assert!(ends_with_a_hash("telemetry-k7m6hd5t4g"));
        assert!(!ends_with_a_hash("telemetry") && !ends_with_a_hash("kube-root"));
    }
}
