//! What a context may take in on the bus is what it listens to.

use std::collections::BTreeSet;

use crate::{Complaints, Tree};

/// Whoever may take in more could be made to; whoever may not take in what it must hears nothing.
pub fn rights_are_what_services_listen_to(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for service in tree.folders("services") {
        let lib = format!("services/{service}/src/lib.rs");
        let text = tree.file(&lib).map_or("", |file| &file.text);
        let listens: BTreeSet<&str> = sources(text).collect();
        let rights = stores::bus_topology().find(|(context, _)| *context == service);
        let may: Option<BTreeSet<&str>> =
            rights.map(|(_, sources)| sources.iter().copied().collect());
        if may.as_ref() != Some(&listens) {
            complaints.push(format!(
                "{lib}: listens to {listens:?}, and may to {may:?}: libs/stores/src/bus.rs"
            ));
        }
    }
    complaints
}

/// `const SOURCES: [&str; 2] = ["order", "user"];` or `source: "order"`.
fn sources(lib: &str) -> impl Iterator<Item = &str> {
    let lists =
        lib.lines().filter(|line| line.starts_with("const SOURCES") || line.contains("source: \""));
    lists.flat_map(|line| {
        let from = line.find("source: \"").unwrap_or_default();
        line[from..].split('"').skip(1).step_by(2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_too_many_and_one_too_few_are_seen() {
        let of = |lib: &'static str| {
            rights_are_what_services_listen_to(&Tree::of([("services/cart/src/lib.rs", lib)])).len()
        };
        assert_eq!(of("const SOURCES: [&str; 2] = [\"order\", \"user\"];\n"), 0);
        assert_eq!(of("    Consumer { context: \"cart\", source: \"order\", handler };\n"), 1);
        let many = "const SOURCES: [&str; 3] = [\"order\", \"user\", \"payment\"];\n";
        assert_eq!(of(many), 1);
    }
}
