//! What pods refer to by name. A pod whose Secret is missing waits for it for ever.

use serde_json::Value;

use crate::objects::{Container, Pod, list_of, text};
use crate::{Complaints, Shop};

/// A thing that a pod needs: its kind, its name, and the key in it, if one is named.
type Needed<'a> = (&'static str, &'a str, Option<&'a str>);

/// Every Secret, ConfigMap, claim and service account that is named exists, with the keys that are.
pub fn exist(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        for (kind, name, key) in needed(&pod) {
            let complaint = match (shop.find(kind, name), key) {
                (None, _) => format!("there is no {kind} {name}"),
                (Some(object), Some(key)) if !has(object.value(), key) => {
                    format!("{kind} {name} has no key {key}")
                }
                (Some(_), _) => continue,
            };
            complaints.push(format!("{}: {complaint}", pod.owner.id()));
        }
    }
    complaints
}

fn has(object: &Value, key: &str) -> bool {
    ["data", "stringData", "binaryData"].iter().any(|part| object[part].get(key).is_some())
}

/// The ConfigMaps that a pod reads, by name.
pub fn named_maps<'a>(pod: &Pod<'a>) -> Vec<&'a str> {
    let all = needed(pod).into_iter().filter(|(kind, ..)| *kind == "ConfigMap");
    let mut names: Vec<&str> = all.map(|(_, name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn needed<'a>(pod: &Pod<'a>) -> Vec<Needed<'a>> {
    let spec = pod.spec();
    let mut needed = vec![("ServiceAccount", account(spec), None)];
    let claims =
        list_of(&spec["volumes"]).map(|volume| text(&volume["persistentVolumeClaim"]["claimName"]));
    needed.extend(
        claims.filter(|name| !name.is_empty()).map(|name| ("PersistentVolumeClaim", name, None)),
    );
    for source in list_of(&spec["volumes"]).flat_map(sources) {
        let keys: Vec<&str> =
            list_of(&source.value["items"]).map(|item| text(&item["key"])).collect();
        needed.push((source.kind, source.name, None));
        needed.extend(keys.into_iter().map(|key| (source.kind, source.name, Some(key))));
    }
    needed.extend(pod.containers().flat_map(|container| of_variables(container.value)));
    needed
}

/// Without a name, a pod gets the account `default`, which every namespace has.
fn account(spec: &Value) -> &str {
    spec["serviceAccountName"].as_str().unwrap_or("default")
}

fn of_variables(container: &Value) -> Vec<Needed<'_>> {
    let single = list_of(&container["env"]).flat_map(|variable| {
        let from = &variable["valueFrom"];
        [("Secret", &from["secretKeyRef"]), ("ConfigMap", &from["configMapKeyRef"])]
    });
    let single = single.map(|(kind, from)| (kind, text(&from["name"]), from["key"].as_str()));
    let whole = list_of(&container["envFrom"])
        .flat_map(|from| [("Secret", &from["secretRef"]), ("ConfigMap", &from["configMapRef"])]);
    let whole = whole.map(|(kind, from)| (kind, text(&from["name"]), None));
    single.chain(whole).filter(|(_, name, _)| !name.is_empty()).collect()
}

/// A Secret or a ConfigMap that a volume shows.
struct Source<'a> {
    kind: &'static str,
    name: &'a str,
    value: &'a Value,
}

fn sources(volume: &Value) -> Vec<Source<'_>> {
    let direct =
        [("Secret", &volume["secret"], "secretName"), ("ConfigMap", &volume["configMap"], "name")];
    let projected = list_of(&volume["projected"]["sources"]).flat_map(|one| {
        [("Secret", &one["secret"], "name"), ("ConfigMap", &one["configMap"], "name")]
    });
    let all = direct.into_iter().chain(projected).filter(|(_, value, _)| value.is_object());
    all.map(|(kind, value, name)| Source { kind, name: text(&value[name]), value }).collect()
}

/// A variable that ends in `_FILE`, or `_DIR`, names something that is mounted; and an argument that leads into a volume
/// names a file that the volume shows.
pub fn files_exist(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        for container in pod.containers() {
            for (name, value) in container.variables() {
                let Some(path) =
                    value.filter(|_| name.ends_with("_FILE") || name.ends_with("_DIR"))
                else {
                    continue;
                };
                if !mounted(shop, &pod, container, path) {
                    let id = pod.owner.id();
                    complaints.push(format!("{id}: {name}: nothing is mounted at {path}"));
                }
            }
            for argument in list_of(&container.value["args"]).map(text) {
                let path = argument.rsplit('=').next().unwrap_or_default();
                if is_below_a_mount(container, path) && !mounted(shop, &pod, container, path) {
                    let id = pod.owner.id();
                    complaints
                        .push(format!("{id}: {argument}: its volume does not show that file"));
                }
            }
        }
    }
    complaints
}

fn is_below_a_mount(container: Container, path: &str) -> bool {
    let mounts = list_of(&container.value["volumeMounts"]);
    mounts
        .map(|mount| text(&mount["mountPath"]))
        .any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

fn mounted(shop: &Shop, pod: &Pod, container: Container, path: &str) -> bool {
    list_of(&container.value["volumeMounts"]).any(|mount| {
        let volumes = list_of(&pod.spec()["volumes"]);
        let claims = list_of(pod.owner.at("/spec/volumeClaimTemplates"));
        let named = |volume: &&Value| volume["name"] == mount["name"];
        let claim = claims.map(|claim| &claim["metadata"]).find(named);
        match path.strip_prefix(text(&mount["mountPath"])).map(|rest| rest.trim_start_matches('/'))
        {
            None => false,
            Some("") => true,
            Some(_) if claim.is_some() => true,
            Some(file) => volumes.filter(named).any(|volume| shows(shop, volume, file)),
        }
    })
}

/// Whether a volume has the file. What is not a Secret or a ConfigMap may have any.
fn shows(shop: &Shop, volume: &Value, file: &str) -> bool {
    let sources = sources(volume);
    sources.is_empty()
        || sources.iter().any(|source| {
            let items: Vec<_> = list_of(&source.value["items"]).collect();
            let whole =
                || shop.find(source.kind, source.name).is_some_and(|it| has(it.value(), file));
            if items.is_empty() {
                whole()
            } else {
                items.iter().any(|item| text(&item["path"]) == file)
            }
        })
}
