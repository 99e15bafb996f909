//! Every rule on its fixtures; and on what kubectl renders, where there is one (`cargo souk test
//! --all` fetches one where there is none).

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Failed, Trial};
use manifests::{
    Compose, Edge, Fixture, RULES, Rule, Shop, checks, figures, fixtures_folder, parse,
    read_fixtures,
};
use stores::Home;

static HOME: LazyLock<Home> = LazyLock::new(|| Home::find().expect("the repository"));

/// The map of the two services in `fixtures/good`.
const MAP: [Edge; 9] = [
    ("anybody", "order"),
    ("order", "product"),
    ("order", "postgres"),
    ("product", "postgres"),
    ("migrate", "postgres"),
    ("order", "collector"),
    ("product", "collector"),
    ("prometheus", "order"),
    ("prometheus", "product"),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("nothing_is_found_where_nothing_is_wrong", nothing_is_found),
        Trial::test("bad_input_is_refused", bad_input_is_refused),
        Trial::test("the_edge_finds_name_servers_and_domain_by_itself", the_edge_finds),
        Trial::test("the_policy_for_name_servers_can_be_patched", the_policy_can_be_patched)
            .with_ignored_flag(souk::validators::kubectl(&HOME).is_none()),
    ];
    for (name, rule) in RULES {
        for fixture in read_fixtures(&fixtures_folder(&HOME).join("rules").join(name)).unwrap() {
            let trial = format!("{name}::{}", fixture.name());
            trials.push(Trial::test(trial, move || finds(name, rule, &fixture)));
        }
    }
    trials.extend(rendered());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One trial for each rule; what they look at is rendered once.
fn rendered() -> Vec<Trial> {
    static SHOP: LazyLock<Arc<Result<Shop, String>>> =
        LazyLock::new(|| Arc::new(checks::everything(&HOME).map_err(|error| format!("{error:#}"))));
    let without_kubectl = souk::validators::kubectl(&HOME).is_none();
    let trial = |(name, rule): (&'static str, Rule)| {
        let holds = move || {
            let shop = SHOP.as_ref().as_ref().map_err(|error| error.clone())?;
            silent(rule(shop))
        };
        Trial::test(format!("rendered::{name}"), holds).with_ignored_flag(without_kubectl)
    };
    let again = || silent(checks::applied_again(&HOME).map_err(|error| format!("{error:#}"))?);
    let again = Trial::test("rendered::a_cluster_takes_another_registry_tag_and_version", again);
    let rules = RULES.map(trial).into_iter();
    rules.chain([again.with_ignored_flag(without_kubectl)]).collect()
}

fn silent(complaints: Vec<String>) -> Result<(), Failed> {
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

fn nothing_is_found() -> Result<(), Failed> {
    let shop = good();
    silent(RULES.iter().flat_map(|(_, rule)| rule(&shop)).collect())
}

/// The rule finds it, and no other rule does.
fn finds(name: &str, rule: Rule, fixture: &Fixture) -> Result<(), Failed> {
    let shop = broken(fixture);
    if let Some(complaint) = fixture.complaint(&rule(&shop).join("; ")) {
        return Err(complaint.into());
    }
    let others = RULES.iter().filter(|(other, _)| *other != name);
    silent(
        others
            .flat_map(|(other, rule)| {
                rule(&shop).into_iter().map(move |it| format!("{other}: {it}"))
            })
            .collect(),
    )
}

fn good() -> Shop {
    let file = |name: &str| {
        std::fs::read_to_string(fixtures_folder(&HOME).join("good").join(name)).unwrap()
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let known = BTreeMap::from([
        (
            "order".to_owned(),
            names(&["SOUK_TLS_DIR", "SOUK_DATABASE_URLS_FILE", "SOUK_PRODUCT_URLS", "SOUK_LOG"]),
        ),
        ("product".to_owned(), names(&["SOUK_TLS_DIR", "SOUK_DATABASE_URLS_FILE", "SOUK_LOG"])),
    ]);
    let connections = BTreeMap::from([("SOUK_DATABASE_CONNECTIONS".to_owned(), "12".to_owned())]);
    let defaults = ["order", "product"].map(|name| (name.to_owned(), connections.clone()));
    Shop {
        defaults: defaults.into(),
        objects: parse(&file("cluster.yaml")).unwrap(),
        compose: Compose::parse(&file("compose.yml")).unwrap(),
        known,
        map: MAP.into(),
        figures: figures(&file("resources.md")),
        version: "1.2.3".to_owned(),
    }
}

/// With what the fixture has in the place of what goes by the same name.
fn broken(fixture: &Fixture) -> Shop {
    let mut shop = good();
    let path = fixture.path.to_string_lossy();
    if path.ends_with(".compose.yml") {
        shop.compose = Compose::parse(&fixture.text).unwrap();
        return shop;
    }
    if path.ends_with(".md") {
        shop.figures = figures(&fixture.text);
        return shop;
    }
    for object in parse(&fixture.text).unwrap() {
        shop.objects.retain(|other| other.id() != object.id());
        shop.objects.push(object);
    }
    shop
}

fn bad_input_is_refused() -> Result<(), Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_manifests")).arg("dance").output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said.contains("'dance'") && said.contains("rules, schemas, checkov, compose"),
        "{said}"
    );
    Ok(())
}

/// The script of the edge's init container, with what a pod may be told.
fn the_edge_finds() -> Result<(), Failed> {
    let config = HOME.workspace().join("deploy/edge");
    let configured = |told: &str| {
        let folder = tempfile::tempdir()?;
        let known = folder.path().join("resolv.conf");
        std::fs::write(&known, told)?;
        let mut script = Command::new("sh");
        script.arg(config.join("in-cluster.sh")).arg(&config).arg(folder.path());
        let output = script.env("RESOLV_CONF", &known).output()?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        assert!(folder.path().join("nginx.conf").is_file());
        anyhow::Ok(Ok(std::fs::read_to_string(folder.path().join("gateways.conf"))?))
    };
    let told = "nameserver 10.96.0.10\nsearch souk.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
    let said = configured(told)?.map_err(Failed::from)?;
    let server = "server gateway.souk.svc.cluster.local:8443 resolve max_fails=1 fail_timeout=2s;";
    assert_eq!(said, format!("resolver 10.96.0.10 valid=2s;\n{server}\n"));

    let told = "search shop.svc.corp.example svc.corp.example\nnameserver fd00::a\nnameserver 169.254.20.10\n";
    let said = configured(told)?.map_err(Failed::from)?;
    assert!(said.starts_with("resolver [fd00::a] 169.254.20.10 valid=2s;\n"), "{said}");
    assert!(said.contains("gateway.shop.svc.corp.example:8443"), "{said}");

    for told in ["nameserver 10.96.0.10\n", "search souk.svc.x\n"] {
        let refused = configured(told)?.expect_err("it cannot be known");
        assert!(refused.contains("names no name server, or no domain"), "{refused}");
    }
    Ok(())
}

/// The patch is the one that k8s/README.md shows.
fn the_policy_can_be_patched() -> Result<(), Failed> {
    let readme = std::fs::read_to_string(HOME.workspace().join("k8s/README.md"))?;
    let shown = readme.split("```text\n").find(|block| block.starts_with("patches:\n"));
    let patch = shown.and_then(|block| block.split("```").next()).expect("a patch is shown");
    let said = checks::patched(&HOME, patch).map_err(|error| format!("{error:#}"))?;
    let Some(said) = said else { return Ok(()) }; // an old kubectl, which cannot do it
    let objects = parse(&said).unwrap();
    let dns = objects.iter().find(|it| it.id() == "NetworkPolicy/dns").expect("the policy");
    assert_eq!(dns.at("/spec/egress/0/to/0/ipBlock/cidr"), "169.254.20.10/32");
    assert_eq!(dns.at("/spec/egress/0/ports/0/port"), 53);
    Ok(())
}
