//! Images: which version of what runs.

use crate::objects::Pod;
use crate::{Complaints, Shop};

/// `registry:5000/souk/order:0.1.0@sha256:…` → `registry:5000/souk/order`.
pub fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    tag(image)
        .map_or(name, |tag| name.strip_suffix(tag).map_or(name, |name| &name[..name.len() - 1]))
}

/// `0.1.0` of the above.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.contains('/')).then_some(tag)
}

/// No image without a version, none that changes under the same name; and the stores are those of
/// the compose file, so that what was tried there is what runs here.
pub fn are_pinned(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    let composed: Vec<&str> =
        shop.compose.services().filter_map(|name| shop.compose.image(name)).collect();
    for pod in shop.pods() {
        for container in pod.containers() {
            let (id, image) = (pod.owner.id(), container.image());
            if tag(image).is_none_or(|tag| tag == "latest") && !image.contains('@') {
                complaints.push(format!("{id}: {image}: name a version"));
            } else if container.program().is_none() && !composed.contains(&image) {
                complaints
                    .push(format!("{id}: {image}: the compose file has another image, or none"));
            }
        }
    }
    complaints
}

/// The process of ours in an image.
pub fn program(image: &str) -> Option<&str> {
    let (path, name) = repository(image).rsplit_once('/')?;
    let ours = souk::images::names().any(|ours| ours == name);
    (ours || path == "souk" || path.ends_with("/souk")).then_some(name)
}

/// A name without a registry belongs to whoever has taken it at the public one, and would be pulled from
/// there wherever it is not at hand.
pub fn have_a_registry(shop: &Shop) -> Complaints {
    let pods = shop.pods();
    let applied = pods.iter().flat_map(|pod| {
        pod.containers().map(|container| (pod.owner.id(), container.image().to_owned()))
    });
    let composed = shop.compose.services().filter_map(|name| {
        Some((format!("compose: {name}"), shop.compose.image(name)?.to_owned()))
    });
    let all = applied.chain(composed).filter(|(_, image)| program(image).is_some());
    let nobodys = all.filter(|(_, image)| !names_a_registry(image));
    let way_out = "begin with a registry of your own, or with localhost";
    nobodys.map(|(id, image)| format!("{id}: {image}: {way_out}")).collect()
}

/// As engines tell a registry's host from the first part of a name.
fn names_a_registry(image: &str) -> bool {
    let host = image.split_once('/').map_or("", |(host, _)| host);
    host == "localhost" || host.contains(['.', ':'])
}

/// What is applied together is of one version.
pub fn are_of_this_version(shop: &Shop) -> Complaints {
    shop.pods().iter().flat_map(|pod| of_another_version(pod, &shop.version)).collect()
}

fn of_another_version(pod: &Pod, version: &str) -> Complaints {
    let ours = pod.containers().filter(|container| container.program().is_some());
    let other = ours.filter(|container| tag(container.image()) != Some(version));
    other.map(|it| format!("{}: {} is not version {version}", pod.owner.id(), it.image())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart() {
        for (image, name, version) in [
            ("souk/order:0.1.0", "souk/order", Some("0.1.0")),
            ("registry:5000/souk/order", "registry:5000/souk/order", None),
            ("registry:5000/souk/order:1@sha256:ab", "registry:5000/souk/order", Some("1")),
            ("nginx", "nginx", None),
        ] {
            assert_eq!((repository(image), tag(image)), (name, version), "{image}");
        }
    }
}
