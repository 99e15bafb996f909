//! The rules of a context are functions of values: time, ids and randomness come in as arguments,
//! and nothing goes out but the result. That is what lets production, property tests and a model
//! checker call the same function.

use crate::{Complaints, Tree, rust};

/// What a pure function has no use for.
const FOREIGN: [&str; 26] = [
    "async",
    ".await",
    "tokio",
    "sqlx",
    "tonic",
    "prost",
    "proto::",
    "serde",
    "reqwest",
    "hyper",
    "database::",
    "messaging::",
    "rpc::",
    "tracing",
    "std::fs",
    "std::net",
    "std::env",
    "std::io",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "now_utc",
    "clock::now",
    "::mint",
    "rand::",
];

/// No effect, no clock, no protocol below `src/domain/`, tests excepted.
pub fn is_pure(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        let path = source.path;
        if !path.starts_with("services/") || !path.contains("/src/domain/") {
            continue;
        }
        for word in FOREIGN {
            for line in rust::lines_with(&source.shipped, word) {
                complaints.push(format!(
                    "{path}:{line}: `{word}` in the domain. Take the value as an argument, return \
                     what happened, and leave the doing to app.rs"
                ));
            }
        }
    }
    complaints
}

/// Use cases and statements speak the domain's language: the protocol ends at the doors.
pub fn protocol_stays_at_the_doors(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        let path = source.path;
        let inner =
            ["/src/app.rs", "/src/store.rs", "/src/store/"].iter().any(|p| path.contains(p));
        if path.starts_with("services/") && inner {
            let lines = rust::lines_with(&source.shipped, "proto::").into_iter();
            complaints.extend(lines.map(|line| {
                format!("{path}:{line}: `proto::` belongs in convert.rs, events.rs or peers.rs")
            }));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_foreign_word_is_found() {
        for word in FOREIGN {
            let code = format!("// {word}\nfn f() {{ g(\"{word}\"); }}\nfn h() {{ x {word} y }}");
            let tree = Tree::of([("services/cart/src/domain/cart.rs", &*code)]);
            assert_eq!(is_pure(&tree).len(), 1, "{word}");
            let elsewhere = Tree::of([("services/cart/src/app.rs", &*code)]);
            assert!(is_pure(&elsewhere).is_empty(), "{word}");
        }
    }

    #[test]
    fn tests_of_the_domain_may_mint_and_wait() {
        let code = "fn f() {}\n#[cfg(test)]\nmod tests { async fn g() { CartId::mint().await } }";
        assert!(is_pure(&Tree::of([("services/cart/src/domain/mod.rs", code)])).is_empty());
    }

    #[test]
    fn protocol_in_a_use_case_is_found() {
        let tree = |path| Tree::of([(path, "use proto::cart::v1 as wire;")]);
        assert_eq!(protocol_stays_at_the_doors(&tree("services/cart/src/app.rs")).len(), 1);
        assert_eq!(protocol_stays_at_the_doors(&tree("services/cart/src/store/a.rs")).len(), 1);
        assert!(protocol_stays_at_the_doors(&tree("services/cart/src/convert.rs")).is_empty());
    }
}
