//! Edges of the map. Everything is denied by default, so an edge without a policy is a timeout in
//! the cluster; and a policy without an edge is a door that nobody needs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::map::{ANYBODY, COLLECTOR, DNS, PROMETHEUS};
use crate::objects::{APP, Labels, Pod, contains, labels, list_of, matches, text};
use crate::{Complaints, Object, Shop};

/// Where the doors outside are: their labels, their namespace (any, without one) and port.
const OUTSIDE: [(&str, &str, &str, Option<&str>, u64); 3] = [
    (DNS, "k8s-app", "kube-dns", Some("kube-system"), 53),
    (COLLECTOR, APP, "opentelemetry-collector", None, 4317),
    (PROMETHEUS, APP, "prometheus", None, 9090), // not called, but there
];
/// The container port that metrics are at.
const METRICS: &str = "admin";

/// From whom, to whom, at which port.
type Door = (String, String, u64);

/// The map and the policies say the same; whoever calls is told where, and nobody else is.
pub fn have_policies(shop: &Shop) -> Complaints {
    let pods = shop.pods();
    let wanted = wanted(shop, &pods);
    let mut complaints = isolated(shop, &pods);
    complaints.extend(absent(shop, &pods));
    for (way, allowed) in [("out", allowed(shop, &pods, OUT)), ("in", allowed(shop, &pods, IN))] {
        let inside = |(from, to, _): &&Door| match way {
            "out" => from != ANYBODY && from != PROMETHEUS,
            _ => OUTSIDE.iter().all(|outside| outside.0 != to),
        };
        let open =
            |(_, to, port): &Door| allowed.contains(&(ANYBODY.to_owned(), to.clone(), *port));
        let missing =
            wanted.iter().filter(inside).filter(|door| !allowed.contains(door) && !open(door));
        complaints.extend(missing.map(|door| format!("{}: no policy lets it {way}", shown(door))));
        let more = allowed.iter().filter(|door| !wanted.contains(door));
        complaints.extend(more.map(|door| {
            format!("{}: a policy lets it {way}, and it is not on the map", shown(door))
        }));
    }
    complaints.extend(told(shop, &pods));
    complaints
}

fn shown((from, to, port): &Door) -> String {
    format!("{from} → {to}:{port}")
}

/// The map's edges with the ports of their Services, and everybody's to the name servers.
fn wanted(shop: &Shop, pods: &[Pod]) -> BTreeSet<Door> {
    let edges = shop.map.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
    let names = pods.iter().map(|pod| (pod.app().to_owned(), DNS.to_owned()));
    let doors = edges.chain(names).flat_map(|(from, to)| {
        let ports = match from.as_str() {
            PROMETHEUS => metrics_of(pods, &to),
            _ => ports_of(shop, pods, &to),
        };
        ports.into_iter().map(move |port| (from.clone(), to.clone(), port))
    });
    doors.collect()
}

fn metrics_of(pods: &[Pod], name: &str) -> Vec<u64> {
    let port = |pod: &Pod| pod.port(&Value::from(METRICS));
    pods.iter().filter(|pod| pod.app() == name).filter_map(port).collect()
}

fn ports_of(shop: &Shop, pods: &[Pod], name: &str) -> Vec<u64> {
    if let Some(outside) = OUTSIDE.iter().find(|outside| outside.0 == name) {
        return vec![outside.4];
    }
    let Some(service) = shop.find("Service", name) else { return Vec::new() };
    let selector = labels(service.at("/spec/selector"));
    let behind = pods.iter().find(|pod| contains(&pod.labels, &selector));
    let ports = list_of(service.at("/spec/ports")).map(|port| &port["targetPort"]);
    ports.filter_map(|port| behind?.port(port)).collect()
}

/// Both ends of every edge are there.
fn absent(shop: &Shop, pods: &[Pod]) -> Complaints {
    let known = |name: &str| {
        name == ANYBODY
            || OUTSIDE.iter().any(|outside| outside.0 == name)
            || pods.iter().any(|pod| pod.app() == name)
    };
    let ends: BTreeSet<&str> = shop.map.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let absent = ends.into_iter().filter(|name| !known(name));
    absent.map(|name| format!("{name} is on the map, and no workload has this name")).collect()
}

/// Whoever no policy selects may speak with everybody.
fn isolated(shop: &Shop, pods: &[Pod]) -> Complaints {
    let mut complaints = Vec::new();
    for pod in pods {
        for way in ["Ingress", "Egress"] {
            let selecting = shop.of("NetworkPolicy").filter(|policy| selects(policy, &pod.labels));
            if !selecting
                .flat_map(|policy| list_of(policy.at("/spec/policyTypes")))
                .any(|one| text(one) == way)
            {
                complaints.push(format!("{}: no policy denies {way} by default", pod.owner.id()));
            }
        }
    }
    complaints
}

fn selects(policy: &Object, labels: &Labels) -> bool {
    matches(policy.at("/spec/podSelector"), labels)
}

/// The words for a direction: the rules, their peers, the type that makes them count.
type Way = [&'static str; 3];
const OUT: Way = ["egress", "to", "Egress"];
const IN: Way = ["ingress", "from", "Ingress"];

fn allowed(shop: &Shop, pods: &[Pod], way: Way) -> BTreeSet<Door> {
    let mut doors = BTreeSet::new();
    for policy in shop.of("NetworkPolicy") {
        if !list_of(policy.at("/spec/policyTypes")).any(|one| text(one) == way[2]) {
            continue;
        }
        for pod in pods.iter().filter(|pod| selects(policy, &pod.labels)) {
            for rule in list_of(&policy.at("/spec")[way[0]]) {
                for (peer, peers_pod) in peers(&rule[way[1]], pods) {
                    let target = if way == OUT { peers_pod } else { Some(pod) };
                    for port in ports(rule, target) {
                        let here = pod.app().to_owned();
                        let (from, to) =
                            if way == OUT { (here, peer.clone()) } else { (peer.clone(), here) };
                        doors.insert((from, to, port));
                    }
                }
            }
        }
    }
    doors
}

/// No port stands for all of them: 0 is on no map.
fn ports(rule: &Value, target: Option<&Pod>) -> Vec<u64> {
    let number = |port: &Value| match target {
        Some(pod) => pod.port(port).or_else(|| port.as_u64()).unwrap_or(0),
        None => port.as_u64().unwrap_or(0),
    };
    let ports: Vec<u64> = list_of(&rule["ports"]).map(|port| number(&port["port"])).collect();
    if ports.is_empty() { vec![0] } else { ports }
}

fn peers<'a, 'b>(list: &Value, pods: &'a [Pod<'b>]) -> Vec<(String, Option<&'a Pod<'b>>)> {
    if list_of(list).next().is_none() {
        return vec![(ANYBODY.to_owned(), None)];
    }
    let mut found = Vec::new();
    for peer in list_of(list) {
        if peer["namespaceSelector"].is_null() && !peer["podSelector"].is_null() {
            let matching = pods.iter().filter(|pod| matches(&peer["podSelector"], &pod.labels));
            found.extend(matching.map(|pod| (pod.app().to_owned(), Some(pod))));
        } else {
            found.push((outside(peer), None));
        }
    }
    found
}

fn outside(peer: &Value) -> String {
    let of_pods = labels(&peer["podSelector"]["matchLabels"]);
    let of_namespace = labels(&peer["namespaceSelector"]["matchLabels"]);
    let named = OUTSIDE.iter().find(|(_, key, value, namespace, _)| {
        let there = of_namespace.get("kubernetes.io/metadata.name").map(String::as_str);
        of_pods.get(*key).map(String::as_str) == Some(value) && there == *namespace
    });
    named.map_or_else(|| peer.to_string(), |outside| outside.0.to_owned())
}

/// Stores are named in files that only their pods can read; the variable says whose they are.
const STORES: [(&str, &str); 3] =
    [("SOUK_DATABASE_URLS", "postgres"), ("SOUK_NATS_URL", "nats"), ("SOUK_REDIS_URL", "redis")];

/// What serving processes are told to call, by variable, is on the map; and what is on the map for
/// them, they are told. What runs once may read the configuration of a whole service, and call less.
fn told(shop: &Shop, pods: &[Pod]) -> Complaints {
    let mut complaints = Vec::new();
    for pod in pods.iter().filter(|pod| pod.stays()) {
        let ours: Vec<_> =
            pod.serving().filter(|container| container.program().is_some()).collect();
        let variables = ours.iter().flat_map(|container| shop.variables_of(container.value));
        let targets: BTreeSet<(String, Option<u64>)> =
            variables.flat_map(|(name, value)| targets(&name, value)).collect();
        for (host, port) in &targets {
            let id = pod.owner.id();
            if !shop.map.iter().any(|(from, to)| from == &pod.app() && to == host) {
                complaints.push(format!("{id}: is told of {host}, which is not on its map"));
            } else if port.is_some_and(|port| !serves(shop, host, port)) {
                complaints.push(format!("{id}: is told of port {} of {host}", port.unwrap_or(0)));
            }
        }
        let edges = shop
            .map
            .iter()
            .filter(|(from, to)| !ours.is_empty() && from == &pod.app() && *to != COLLECTOR);
        let untold = edges.filter(|(_, to)| !targets.iter().any(|(host, _)| host == to));
        complaints.extend(
            untold.map(|(from, to)| format!("{from} → {to}: {from} is not told where {to} is")),
        );
    }
    complaints
}

fn serves(shop: &Shop, name: &str, port: u64) -> bool {
    let service = shop.find("Service", name);
    service.is_some_and(|it| {
        list_of(it.at("/spec/ports")).any(|one| one["port"].as_u64() == Some(port))
    })
}

/// `SOUK_CART_URLS=cart:8080`, `SOUK_PSP_URL=http://psp:8080` → hosts and ports.
fn targets(name: &str, value: Option<String>) -> Vec<(String, Option<u64>)> {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    if let Some((_, store)) = STORES.iter().find(|(variable, _)| *variable == plain) {
        return vec![((*store).to_owned(), None)];
    }
    if !(name.ends_with("_URL") || name.ends_with("_URLS")) {
        return Vec::new();
    }
    let value = value.unwrap_or_default();
    let places = value.split(',').map(|url| url.split_once("://").map_or(url, |(_, rest)| rest));
    let places = places.filter_map(|place| place.split('/').next()?.split_once(':'));
    places.map(|(host, port)| (host.to_owned(), Some(port.parse().unwrap_or(0)))).collect()
}
