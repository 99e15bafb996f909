//! The compose file and what belongs to it say the same of every service.

use crate::{Complaints, Tree};

const COMPOSE: &str = "docker-compose.yml";
const CLOSURE: &str = "deploy/docker/closure";
const OBSERVED: &str = "deploy/observability/compose.yml";
const SCRAPED: &str = "deploy/observability/prometheus.yml";

/// What a variable is called that holds a secret, or names a file with one.
const SECRET: [&str; 4] = ["PASSWORD", "SECRET", "_KEY", "TOKEN"];

/// Every service runs in containers: one, a migration, a second copy; with secrets of its own, in a
/// volume that belongs to its user; and gets the address of the collector of traces where there is one, and
/// scraped under the name in its certificate.
pub fn every_service_has_containers(tree: &Tree) -> Complaints {
    let compose = tree.file(COMPOSE).map_or("", |file| &file.text);
    let closure = tree.file(CLOSURE).map_or("", |file| &file.text);
    let observed = tree.file(OBSERVED).map_or("", |file| &file.text);
    let scraped = tree.file(SCRAPED).map_or("", |file| &file.text);
    let folders = closure.lines().find_map(|line| line.strip_prefix("for name in "));
    let folders: Vec<&str> = folders.unwrap_or_default().split([' ', ';']).collect();
    let mut complaints = Vec::new();
    for service in tree.folders("services") {
        for name in [service.to_owned(), format!("{service}-migrate"), format!("{service}-2")] {
            if !compose.lines().any(|line| line.starts_with(&format!("  {name}:"))) {
                complaints.push(format!("{COMPOSE}: there is no service {name}"));
            }
        }
        for name in [service.to_owned(), format!("{service}-2")] {
            if !observed.contains(&format!("\n  {name}: *traced\n")) {
                complaints.push(format!("{OBSERVED}: {name} is not traced"));
            }
        }
        if !scraped.contains(&format!("server_name: {service}}}")) {
            complaints.push(format!("{SCRAPED}: no job expects the name {service}"));
        }
        if !compose.contains(&format!("- {service}:/souk/{service}\n")) {
            complaints.push(format!("{COMPOSE}: init mounts no volume {service}"));
        }
        if !folders.contains(&service) {
            complaints.push(format!("{CLOSURE}: make the folder that volume {service} covers"));
        }
    }
    complaints
}

/// Images of ours are of the workspace's version; images of others have one.
pub fn images_have_versions(tree: &Tree) -> Complaints {
    let manifest = tree.file("Cargo.toml").map_or("", |file| &file.text);
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    let ours = format!("${{SOUK_VERSION:-{}}}", version.unwrap_or_default().trim_matches('"'));
    let mut complaints = Vec::new();
    for (at, line) in lines(tree) {
        let Some(image) = line.trim().strip_prefix("image: ") else { continue };
        let pinned = match image.rsplit_once(':') {
            Some(_) if image.contains("SOUK_VERSION") => image.ends_with(&ours),
            Some((_, tag)) => tag.contains('.'),
            None => false,
        };
        if !pinned {
            complaints.push(format!("{COMPOSE}:{at}: {image}: name its whole version ({ours})"));
        }
    }
    complaints
}

/// No secret stands in the file: a variable about one names a file.
pub fn no_secret_is_written_down(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for (at, line) in lines(tree) {
        let Some((name, _)) = line.trim().split_once(": ") else { continue };
        let variable = name.bytes().all(|byte| byte.is_ascii_uppercase() || b"_".contains(&byte));
        if variable && SECRET.iter().any(|word| name.contains(word)) && !name.ends_with("_FILE") {
            complaints.push(format!("{COMPOSE}:{at}: {name}: name a file in a volume of init's"));
        }
    }
    complaints
}

fn lines(tree: &Tree) -> impl Iterator<Item = (usize, &str)> {
    let text = tree.file(COMPOSE).map_or("", |file| &file.text);
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: (&str, &str) = ("services/cart/README.md", "");
    const GOOD: &str = "services:\n  init:\n    volumes:\n      - cart:/souk/cart\n  \
                        cart:\n  cart-migrate:\n  cart-2:\n";
    const FOLDERS: &str = "for name in authority cart psp; do\n";
    const TRACED: &str = "services:\n  cart: *traced\n  cart-2: *traced\n";
    const JOBS: &str = "    tls_config: {ca_file: ca.pem, server_name: cart}\n";

    #[test]
    fn a_service_that_was_forgotten_is_found() {
        let told = |compose: &str, closure: &str, observed: &str, scraped: &str| {
            let tree = Tree::of([
                SERVICE,
                (COMPOSE, compose),
                (CLOSURE, closure),
                (OBSERVED, observed),
                (SCRAPED, scraped),
            ]);
            every_service_has_containers(&tree).len()
        };
        let with = |compose: &str, closure: &str| told(compose, closure, TRACED, JOBS);
        assert_eq!(with(GOOD, FOLDERS), 0);
        assert_eq!(told(GOOD, FOLDERS, &TRACED.replace("  cart-2: *traced\n", ""), JOBS), 1);
        assert_eq!(told(GOOD, FOLDERS, TRACED, &JOBS.replace("cart", "order")), 1);
        for line in ["  cart:\n", "  cart-migrate:\n", "  cart-2:\n", "- cart:/souk/cart\n"] {
            assert_eq!(with(&GOOD.replace(line, "\n"), FOLDERS), 1, "{line}");
        }
        assert_eq!(with(GOOD, &FOLDERS.replace("cart ", "")), 1);
    }

    #[test]
    fn another_version_and_none_are_found() {
        let with = |image: &str| {
            let compose = format!("    image: {image}\n");
            let manifest = ("Cargo.toml", "[workspace.package]\nversion = \"0.3.0\"\n");
            images_have_versions(&Tree::of([manifest, (COMPOSE, &*compose)])).len()
        };
        for good in [
            "${SOUK_REGISTRY:-localhost/souk}/cart:${SOUK_VERSION:-0.3.0}",
            "postgres:17.10-bookworm",
        ] {
            assert_eq!(with(good), 0, "{good}");
        }
        for bad in [
            "${SOUK_REGISTRY:-localhost/souk}/cart:${SOUK_VERSION:-0.2.0}",
            "nats:latest",
            "nats",
            "x:2",
        ] {
            assert_eq!(with(bad), 1, "{bad}");
        }
    }

    #[test]
    fn a_secret_is_found() {
        let with = |line: &str| no_secret_is_written_down(&Tree::of([(COMPOSE, line)])).len();
        assert_eq!(with("      SOUK_STAFF_PASSWORD_FILE: /run/souk/staff-password\n"), 0);
        assert_eq!(with("      SOUK_STAFF_EMAIL: staff@souk.example\n"), 0);
        for bad in ["POSTGRES_PASSWORD: x", "SOUK_TOKEN: x", "PSP_WEBHOOK_SECRET: ${S:-x}"] {
            assert_eq!(with(bad), 1, "{bad}");
        }
    }
}
