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

/// A Job's template cannot be changed: the one of another version needs another name. And what
/// it runs is of that version.
pub fn jobs_carry_the_version(shop: &Shop) -> Complaints {
    let version = &shop.version;
    let end = format!("-{}", version.replace('.', "-"));
    let pods = shop.pods();
    let jobs = pods.iter().filter(|pod| pod.owner.kind() == "Job");
    let unnamed = jobs.filter(|pod| !pod.owner.name().ends_with(&end));
    let unnamed = unnamed.map(|pod| format!("{}: its name must end with {end}", pod.owner.id()));
    let other = pods.iter().flat_map(|pod| of_another_version(pod, version));
    unnamed.chain(other).collect()
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
