//! Every service has the same files under the same names: whoever learned one knows them all.

use crate::{Complaints, File, Tree};

/// What every service has. A name that ends in `/` is a folder with something in it.
const REQUIRED: [&str; 14] = [
    "README.md",
    "Cargo.toml",
    "sqlx.toml",
    "migrations/",
    ".sqlx/",
    "src/main.rs",
    "src/lib.rs",
    "src/config.rs",
    "src/domain/mod.rs",
    "src/app.rs",
    "src/store.rs",
    "src/grpc.rs",
    "src/convert.rs",
    "tests/it/main.rs",
];

/// What a service has when its context has it: events in or out, and calls to others.
const OPTIONAL: [&str; 2] = ["src/events.rs", "src/peers.rs"];

/// Folders in which a service names files as it likes.
const OPEN: [&str; 9] = [
    "src/app/",
    "src/domain/",
    "src/store/",
    "tests/it/",
    "migrations/",
    ".sqlx/",
    "examples/",
    "planted/",
    "proptest-regressions/",
];

/// What one context has and no other, each with its reason.
const OWN: [(&str, &str, &str); 14] = [
    ("product", "src/app/offers.rs", "what is shown from memory: nothing else is read so often"),
    ("order", "src/watch.rs", "live orders: only orders are watched"),
    ("user", "src/passwords.rs", "argon2id on threads of its own: only users have passwords"),
    ("user", "src/hashing.rs", "argon2id in memory of its own, which glibc would not give back"),
    ("user", "src/revocations.rs", "ended sign-ins: only this context has them"),
    ("user", "src/tokens.rs", "signing: only this context gives tokens out"),
    ("order", "src/peers/ask.rs", "calls that are made for many at once"),
    ("payment", "src/worker.rs", "the leased worker that speaks to the provider"),
    ("payment", "src/worker/calls.rs", "what one task asks of the provider"),
    ("payment", "src/worker/permits.rs", "how many calls to the provider may be in flight"),
    ("payment", "src/peers/exchange.rs", "spans and durations of what is asked of the provider"),
    ("payment", "src/app/notices.rs", "the provider's notices, many at once"),
    ("payment", "src/app/staff.rs", "what staff decide about refunds that were refused"),
    ("payment", "src/webhook.rs", "the provider's notices: only payment gets any"),
];

/// The order in which lib.rs declares its modules, which is the order to read them in.
const READING_ORDER: [&str; 8] =
    ["config", "domain", "app", "store", "events", "grpc", "convert", "peers"];

const MAIN_LINES_MAX: usize = 30;

/// The same files in every service, and no others.
pub fn services_are_alike(tree: &Tree) -> Complaints {
    tree.folders("services").iter().flat_map(|service| files_of(tree, service)).collect()
}

fn files_of(tree: &Tree, service: &str) -> Complaints {
    let folder = format!("services/{service}");
    let paths: Vec<&str> = tree.below(&folder).into_iter().map(|(path, _)| path).collect();
    let there = |name: &str| match name.strip_suffix('/') {
        Some(_) => paths.iter().any(|path| path.starts_with(name)),
        None => paths.contains(&name),
    };
    let missing = REQUIRED.into_iter().filter(|name| !there(name));
    let missing = missing.map(|name| format!("{folder}/{name} is missing: every service has it"));
    let foreign = paths.iter().filter(|path| !expected(service, path));
    let foreign = foreign.map(|path| {
        format!(
            "{folder}/{path}: no service has such a file. Put it where the others have it, or list \
             it with its reason in tests/tidy/src/skeleton.rs"
        )
    });
    missing.chain(foreign).collect()
}

fn expected(service: &str, path: &str) -> bool {
    REQUIRED.contains(&path)
        || OPTIONAL.contains(&path)
        || OPEN.iter().any(|folder| path.starts_with(folder))
        || OWN.iter().any(|(whose, own, _)| (*whose, *own) == (service, path))
}

/// `main` is a sentence, `lib.rs` a table of contents.
pub fn services_read_alike(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    let mains = tree.files().filter(|file| is_main(file));
    for File { path, text } in mains {
        let lines = text.lines().count();
        if lines > MAIN_LINES_MAX {
            complaints.push(format!(
                "{path}: {lines} lines, at most {MAIN_LINES_MAX}: move the work into lib.rs, where \
                 tests call it too"
            ));
        }
    }
    for service in tree.folders("services") {
        let Some(lib) = tree.file(&format!("services/{service}/src/lib.rs")) else { continue };
        let modules = lib.text.lines().filter_map(|line| {
            line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')
        });
        let places: Vec<usize> = modules
            .filter_map(|module| READING_ORDER.iter().position(|known| *known == module))
            .collect();
        if !places.is_sorted() {
            complaints.push(format!(
                "{}: declare the modules in reading order: {}",
                lib.path,
                READING_ORDER.join(", ")
            ));
        }
    }
    complaints
}

fn is_main(file: &File) -> bool {
    let tier = ["services/", "gateway/", "deploy/"].iter().any(|t| file.path.starts_with(t));
    tier && file.path.ends_with("src/main.rs")
}

/// Every context is a service with a contract of its own, and the other way round.
pub fn contexts_have_contracts(tree: &Tree) -> Complaints {
    let services = tree.folders("services");
    let contexts = tree.folders("proto/souk");
    let unspoken = services
        .iter()
        .filter(|service| tree.file(&format!("proto/souk/{service}/v1/{service}.proto")).is_none());
    let unspoken = unspoken.map(|service| {
        format!("services/{service}: write proto/souk/{service}/v1/{service}.proto")
    });
    // Money and batches are types that contexts share, not contexts.
    let shared = |name: &str| ["batch", "money"].contains(&name);
    let idle = contexts.iter().filter(|name| !shared(name) && !services.contains(name));
    let idle = idle.map(|name| format!("proto/souk/{name}: there is no services/{name}"));
    unspoken.chain(idle).collect()
}

/// The lists that name every service.
const LISTS: [(&str, &str); 3] = [
    ("deploy/souk/src/cli.rs", "SERVICES"),
    ("deploy/operator/src/plan.rs", "CONTEXTS"),
    ("deploy/operator/src/sqlx.rs", "CRATES"),
];

/// Every service is built, started, given databases and checked.
pub fn services_are_deployed(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for (path, list) in LISTS {
        let text = tree.file(path).map_or("", |file| &file.text);
        let declared = text.split_once(&format!("const {list}: ")).map_or("", |(_, rest)| rest);
        let value = declared.split_once(';').map_or("", |(_, rest)| rest); // of `[&str; 6] = […];`
        let entries = value.split(';').next().unwrap_or_default();
        for service in tree.folders("services") {
            if !entries.contains(&format!("\"{service}\"")) {
                complaints.push(format!("{path}: add {service:?} to {list}"));
            }
        }
    }
    complaints
}

/// Each migration begins with a comment that says why, and numbers have no gaps.
pub fn migrations_say_why(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for service in tree.folders("services") {
        let folder = format!("services/{service}/migrations");
        for (at, (name, file)) in tree.below(&folder).into_iter().enumerate() {
            if !name.starts_with(&format!("{:04}_", at + 1)) || !name.ends_with(".sql") {
                complaints.push(format!("{}: call it {:04}_….sql", file.path, at + 1));
            }
            if !file.text.starts_with("-- ") {
                complaints.push(format!("{}: begin with a comment that says why", file.path));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(change: impl Fn(&mut Vec<(String, String)>)) -> Tree {
        let mut files: Vec<(String, String)> = REQUIRED
            .iter()
            .map(|name| {
                let name =
                    if name.ends_with('/') { format!("{name}0001_a.sql") } else { (*name).into() };
                (format!("services/cart/{name}"), "-- why\n".to_owned())
            })
            .collect();
        change(&mut files);
        let files = files.into_iter().map(|(path, text)| File { path, text });
        Tree::from_files(files.collect())
    }

    #[test]
    fn a_missing_and_a_foreign_file_are_found() {
        assert!(services_are_alike(&service(|_| {})).is_empty());
        let foreign = |name: &'static str| {
            service(move |files| files.push((format!("services/cart/{name}"), String::new())))
        };
        assert!(services_are_alike(&foreign("src/events.rs")).is_empty());
        assert!(services_are_alike(&foreign("src/domain/rules.rs")).is_empty());
        assert_eq!(services_are_alike(&foreign("src/repository.rs")).len(), 1);
        assert_eq!(services_are_alike(&foreign("src/watch.rs")).len(), 1);
        for (at, name) in REQUIRED.iter().enumerate() {
            let without = service(|files| drop(files.remove(at)));
            assert_eq!(services_are_alike(&without).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_long_main_and_a_shuffled_lib_are_found() {
        let lib =
            ("services/cart/src/lib.rs", "mod config;\npub mod domain;\nmod app;\nmod store;");
        assert!(services_read_alike(&Tree::of([lib])).is_empty());
        let shuffled = ("services/cart/src/lib.rs", "mod store;\nmod app;");
        assert_eq!(services_read_alike(&Tree::of([shuffled])).len(), 1);
        let long = "\n".repeat(MAIN_LINES_MAX + 1);
        assert_eq!(services_read_alike(&Tree::of([("gateway/src/main.rs", &*long)])).len(), 1);
    }

    #[test]
    fn a_context_without_its_half_is_found() {
        let contract = ("proto/souk/cart/v1/cart.proto", "");
        let code = ("services/cart/src/lib.rs", "");
        assert!(contexts_have_contracts(&Tree::of([contract, code])).is_empty());
        assert_eq!(contexts_have_contracts(&Tree::of([contract])).len(), 1);
        assert_eq!(contexts_have_contracts(&Tree::of([code])).len(), 1);
    }

    #[test]
    fn a_service_that_nobody_starts_is_found() {
        let code = ("services/cart/src/lib.rs", "");
        let lists =
            LISTS.map(|(path, list)| (path, format!("const {list}: [&str; 1] = [\"cart\"];")));
        let files = |without: usize| {
            let kept = lists.iter().enumerate().filter(move |(at, _)| *at != without);
            let files =
                kept.map(|(_, (path, text))| File { path: (*path).into(), text: text.clone() });
            files.chain([File { path: code.0.into(), text: code.1.into() }]).collect()
        };
        assert!(services_are_deployed(&Tree::from_files(files(LISTS.len()))).is_empty());
        for without in 0..LISTS.len() {
            assert_eq!(services_are_deployed(&Tree::from_files(files(without))).len(), 1);
        }
    }

    #[test]
    fn a_silent_or_misnumbered_migration_is_found() {
        let first = ("services/cart/migrations/0001_a.sql", "-- why\n");
        assert!(migrations_say_why(&Tree::of([first])).is_empty());
        let gap = ("services/cart/migrations/0003_b.sql", "create table b ()");
        assert_eq!(migrations_say_why(&Tree::of([first, gap])).len(), 2);
    }
}
