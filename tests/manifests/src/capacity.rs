//! What adds up: connections against what the database takes, streams against their disk.

use std::collections::BTreeSet;

use serde_json::Value;
use stores::BUS_PROVISIONER;

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
    let mut complaints = Vec::new();
    let Some((store, claim)) = stores(shop) else { return complaints };
    for pod in shop.pods() {
        let provisioner = pod.serving().find(|it| it.program() == Some(BUS_PROVISIONER));
        let Some(provisioner) = provisioner else { continue };
        let limit = shop.variables_of(provisioner.value).remove(STREAM_MAX_BYTES).flatten();
        let limit = limit.and_then(|number| number.parse::<u64>().ok());
        let Some(limit) = limit else {
            complaints.push(format!("{}: say {STREAM_MAX_BYTES}", pod.owner.id()));
            continue;
        };
        let (streams, needed) = (publishing(), limit.saturating_mul(publishing()));
        complaints.extend((needed > store).then(|| {
            format!("{streams} streams hold up to {needed} bytes, and NATS stores {store}")
        }));
    }
    complaints.extend(
        (store > claim)
            .then(|| format!("NATS stores up to {store} bytes, and its claim has {claim}")),
    );
    complaints
}

/// How many contexts have a stream.
fn publishing() -> u64 {
    let sources = stores::bus_topology().flat_map(|(_, sources)| sources);
    sources.collect::<BTreeSet<_>>().len() as u64
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
    use std::collections::BTreeMap;

    use crate::Compose;

    /// A provisioner whose streams hold so much each.
    fn shop(bytes: &str) -> Shop {
        let provisioner = format!(
            "kind: Deployment\nmetadata: {{name: provisioner}}\nspec: {{template: {{spec: {{containers: [{{image: localhost/souk/provisioner:1, \
             env: [{{name: SOUK_NATS_STREAM_MAX_BYTES, value: \"{bytes}\"}}]}}]}}}}}}\n---\n"
        );
        let nats = "kind: ConfigMap\nmetadata: {name: nats}\ndata: {nats.conf: \"max_file_store: 1073741824\"}\n---\n\
                    kind: StatefulSet\nmetadata: {name: nats}\nspec: {volumeClaimTemplates: [{spec: {resources: {requests: {storage: 1Gi}}}}]}\n";
        Shop {
            objects: crate::parse(&(provisioner + nats)).expect("YAML"),
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
        assert_eq!(said("268435456"), "");
        assert_eq!(
            said("268435457"),
            "4 streams hold up to 1073741828 bytes, and NATS stores 1073741824"
        );
        assert_eq!(said("much"), "Deployment/provisioner: say SOUK_NATS_STREAM_MAX_BYTES");
    }
}
