//! What adds up: connections against what the database takes, streams against their disk.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::composing::scale;
use crate::objects::{Container, Pod, list_of, text};
use crate::{Complaints, Object, Shop, images, replicas};

/// One pool reads, another writes (libs/database).
const POOLS: u64 = 2;
/// A process that starts migrates on a connection of its own.
const MIGRATING: u64 = 1;
/// PostgreSQL keeps these for superusers,
const RESERVED: u64 = 3;
/// and takes so many unless it is told otherwise.
const MAX_CONNECTIONS: u64 = 100;
/// Everybody may have a second copy of each service without counting first.
const COPIES: u64 = 2;

const POSTGRES: &str = "postgres";
const URLS: &str = "SOUK_DATABASE_URLS_FILE";
const CONNECTIONS: &str = "SOUK_DATABASE_CONNECTIONS";
const STREAM_MAX_BYTES: &str = "SOUK_NATS_STREAM_MAX_BYTES";

/// All pools of all copies, and of those that are there beside them in a rollout, are no more connections than the
/// database takes.
pub fn connections_add_up(shop: &Shop) -> Complaints {
    let pods = shop.pods();
    let server = pods.iter().find_map(|pod| Some((pod, of_image(pod, POSTGRES)?)));
    let cluster = server.and_then(|(pod, container)| {
        let needed: u64 = pods.iter().map(|pod| of_pod(shop, pod)).sum();
        too_few(&pod.owner.id(), needed, &container.value["args"])
    });
    let services = || shop.compose.services();
    let needed = services().map(|name| of_service(shop, name)).sum();
    let command = &shop.compose.service(POSTGRES)["command"];
    cluster.into_iter().chain(too_few("compose", needed, command)).collect()
}

fn too_few(id: &str, needed: u64, arguments: &Value) -> Option<String> {
    let setting = list_of(arguments).find_map(|one| text(one).split_once("max_connections="));
    let most = setting.and_then(|(_, number)| number.parse().ok()).unwrap_or(MAX_CONNECTIONS);
    let needed = needed + RESERVED;
    (needed > most)
        .then(|| format!("{id}: {needed} connections are needed, and max_connections is {most}"))
}

fn of_image<'a>(pod: &Pod<'a>, image: &str) -> Option<Container<'a>> {
    pod.serving().find(|container| images::repository(container.image()) == image)
}

/// A Deployment's; what runs once is over before or has little to do.
fn of_pod(shop: &Shop, pod: &Pod) -> u64 {
    if pod.owner.kind() != "Deployment" {
        return 0;
    }
    let of_each = pod.serving().map(|container| {
        let told = shop.variables_of(container.value);
        if !told.contains_key(URLS) {
            return 0;
        }
        let most = told.get(CONNECTIONS).cloned().flatten();
        of_one(shop, container.program().unwrap_or_default(), most.as_deref())
    });
    of_each.sum::<u64>()
        * (replicas::most(shop, pod.owner).max(COPIES) + replicas::surge(pod.owner))
}

fn of_service(shop: &Shop, name: &str) -> u64 {
    let service = shop.compose.service(name);
    if !shop.compose.variables(name).contains(URLS) || text(&service["restart"]) == "no" {
        return 0;
    }
    let program = shop.compose.image(name).and_then(images::program).unwrap_or_default();
    of_one(shop, program, service["environment"][CONNECTIONS].as_str()) * scale(service)
}

/// To one database, with what the process was told, or else its default.
fn of_one(shop: &Shop, program: &str, told: Option<&str>) -> u64 {
    let default = || shop.defaults.get(program)?.get(CONNECTIONS).map(String::as_str);
    let most = told.or_else(default).and_then(|number| number.parse::<u64>().ok());
    // What cannot be read is more than there can be.
    most.map_or(u64::from(u32::MAX), |most| POOLS * most + MIGRATING)
}

/// The streams of all contexts fit into what the server may store, and that into its claim.
pub fn streams_fit(shop: &Shop) -> Complaints {
    let mut streams = BTreeMap::new();
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        for container in pod.serving() {
            let (told, program) = (shop.variables_of(container.value), container.program());
            let Some(program) = program.filter(|_| told.contains_key("SOUK_NATS_URL_FILE")) else {
                continue;
            };
            let limit = told.get(STREAM_MAX_BYTES).cloned().flatten();
            match limit.and_then(|number| number.parse::<u64>().ok()) {
                Some(limit) => drop(streams.insert(program.to_owned(), limit)),
                None => complaints.push(format!("{}: say {STREAM_MAX_BYTES}", pod.owner.id())),
            }
        }
    }
    let needed: u64 = streams.values().sum();
    let Some((store, claim)) = stores(shop) else { return complaints };
    complaints.extend((needed > store).then(|| {
        format!("{} streams hold up to {needed} bytes, and NATS stores {store}", streams.len())
    }));
    complaints.extend(
        (store > claim)
            .then(|| format!("NATS stores up to {store} bytes, and its claim has {claim}")),
    );
    complaints
}

/// What NATS may store, and what it has for that.
fn stores(shop: &Shop) -> Option<(u64, u64)> {
    let maps = shop.of("ConfigMap");
    let config = maps.filter_map(|map| map.at("/data")["nats.conf"].as_str()).next()?;
    let (_, store) = config.split_once("max_file_store: ")?;
    let store = store.lines().next()?.trim().parse().ok()?;
    let server = shop.of("StatefulSet").find(|it| it.name() == "nats")?;
    Some((store, claim(server)?))
}

fn claim(server: &Object) -> Option<u64> {
    let claim = list_of(server.at("/spec/volumeClaimTemplates")).next()?;
    let text = claim.pointer("/spec/resources/requests/storage")?.as_str()?;
    Some(text.strip_suffix("Gi")?.parse::<u64>().ok()? << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compose;

    /// Two services whose streams hold so much each.
    fn shop(bytes: &str) -> Shop {
        let service = |name: &str| {
            format!(
                "kind: Deployment\nmetadata: {{name: {name}}}\nspec: {{template: {{spec: {{containers: [{{image: localhost/souk/{name}:1, \
                 env: [{{name: SOUK_NATS_URL_FILE, value: f}}, {{name: SOUK_NATS_STREAM_MAX_BYTES, value: \"{bytes}\"}}]}}]}}}}}}\n---\n"
            )
        };
        let nats = "kind: ConfigMap\nmetadata: {name: nats}\ndata: {nats.conf: \"max_file_store: 1073741824\"}\n---\n\
                    kind: StatefulSet\nmetadata: {name: nats}\nspec: {volumeClaimTemplates: [{spec: {resources: {requests: {storage: 1Gi}}}}]}\n";
        Shop {
            objects: crate::parse(&(service("order") + &service("cart") + nats)).expect("YAML"),
            compose: Compose::default(),
            known: BTreeMap::new(),
            defaults: BTreeMap::new(),
            map: Vec::new(),
            figures: BTreeMap::new(),
            version: String::new(),
        }
    }

    #[test]
    fn streams_are_no_more_than_what_is_stored() {
        let said = |bytes: &str| streams_fit(&shop(bytes)).join("; ");
        assert_eq!(said("536870912"), "");
        assert_eq!(
            said("536870913"),
            "2 streams hold up to 1073741826 bytes, and NATS stores 1073741824"
        );
        assert!(said("much").contains("Deployment/order: say SOUK_NATS_STREAM_MAX_BYTES"));
    }
}
