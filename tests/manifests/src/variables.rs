//! Environment variables. A process ignores those that it does not know, so a misspelt one does
//! nothing, and nobody hears of it.

use std::collections::BTreeSet;

use crate::objects::Container;
use crate::{Complaints, Shop};

/// Every variable of our containers is in the `--help` of the process.
pub fn exist(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods() {
        for (container, program) in ours(pod.containers()) {
            let Some(known) = shop.known.get(program) else {
                complaints.push(format!("{}: there is no process {program}", pod.owner.id()));
                continue;
            };
            for name in
                shop.variables_of(container.value).keys().filter(|name| !known.contains(*name))
            {
                complaints.push(format!("{}: {program} --help knows no {name}", pod.owner.id()));
            }
        }
    }
    complaints
}

fn ours<'a>(
    containers: impl Iterator<Item = Container<'a>>,
) -> impl Iterator<Item = (Container<'a>, &'a str)> {
    containers.filter_map(|container| Some((container, container.program()?)))
}

/// A process is told the same things by both.
pub fn agree_with_compose(shop: &Shop) -> Complaints {
    let serving = ["Deployment", "StatefulSet"];
    let pods = shop.pods();
    let pods = pods.iter().filter(|pod| serving.contains(&pod.owner.kind()));
    let mut complaints = Vec::new();
    for (pod, container, program) in
        pods.flat_map(|pod| ours(pod.serving()).map(move |(c, p)| (pod, c, p)))
    {
        if shop.compose.image(program).is_none() {
            complaints
                .push(format!("{}: the compose file has no service {program}", pod.owner.id()));
            continue;
        }
        let here: BTreeSet<String> = shop.variables_of(container.value).into_keys().collect();
        let there = shop.compose.variables(program);
        let missing = there.difference(&here);
        let missing = missing.map(|name| format!("{}: compose sets {name}", pod.owner.id()));
        let more = here.difference(&there);
        let more = more.map(|name| format!("{}: compose does not set {name}", pod.owner.id()));
        complaints.extend(missing.chain(more));
    }
    complaints
}
