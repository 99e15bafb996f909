//! What `docker compose up` makes of the compose file (docker/compose, `pkg/compose`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::images::program;
use crate::objects::{list_of, text};
use crate::{Complaints, Compose, Shop};

/// Two services that build one tag build it side by side, and an engine with the store of containerd refuses the second;
/// one that nobody builds is pulled.
pub fn builds_an_image_once(shop: &Shop) -> Complaints {
    let mut builders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in shop.compose.services() {
        let Some(image) = shop.compose.image(name).filter(|it| program(it).is_some()) else {
            continue;
        };
        let builders = builders.entry(image).or_default();
        builders.extend((!shop.compose.service(name)["build"].is_null()).then_some(name));
    }
    let wrong = builders.into_iter().filter(|(_, builders)| builders.len() != 1);
    let said = |builders: Vec<&str>| match builders.as_slice() {
        [] => "nobody".to_owned(),
        several => several.join(", "),
    };
    wrong.map(|(image, builders)| format!("{image} is built by {}", said(builders))).collect()
}

/// `up --wait` takes the end of a service for a failure, unless another waits for just that.
pub fn waits_for_ends(shop: &Shop) -> Complaints {
    let compose = &shop.compose;
    let started = || compose.services().filter(|name| compose.service(name)["profiles"].is_null());
    let awaited: BTreeSet<&str> = started().flat_map(|name| awaited(compose, name)).collect();
    let ends = started().filter(|name| text(&compose.service(name)["restart"]) == "no");
    let nobodys = ends.filter(|name| !awaited.contains(name));
    nobodys.map(|name| format!("{name}: ends, and nobody waits for that")).collect()
}

/// Whose end a service waits for.
fn awaited<'a>(compose: &'a Compose, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let all = compose.service(name)["depends_on"].as_object().into_iter().flatten();
    let ends = all.filter(|(_, how)| text(&how["condition"]) == "service_completed_successfully");
    ends.map(|(name, _)| name.as_str())
}

/// When a container is created, the engine copies the folder of its image, owner and all, onto a volume that is
/// still empty; and all are created before the first writes anything. So of several that mount a volume, one may
/// let it.
pub fn volumes_keep_their_owner(shop: &Shop) -> Complaints {
    let mut copiers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in shop.compose.services() {
        for mount in list_of(&shop.compose.service(name)["volumes"]).map(text) {
            let (volume, rest) = mount.split_once(':').unwrap_or((mount, ""));
            let copies = !volume.starts_with(['.', '/']) && !rest.contains("nocopy");
            copiers.entry(volume).or_default().extend(copies.then_some(name));
        }
    }
    let several = copiers.into_iter().filter(|(_, copiers)| copiers.len() > 1);
    let complaint = |(volume, copiers): (&str, Vec<&str>)| {
        let copiers = copiers.join(", ");
        format!(
            "volume {volume}: {copiers} may copy an image's folder onto it: all but one with nocopy"
        )
    };
    several.map(complaint).collect()
}

/// The number of containers of a service.
pub fn scale(service: &Value) -> u64 {
    service["scale"].as_u64().unwrap_or(1)
}
