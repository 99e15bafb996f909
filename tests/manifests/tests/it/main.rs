//! Every rule on its fixtures; and on what kubectl renders, where there is one (`cargo souk test
//! --all` fetches one where there is none).

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Failed, Trial};
use manifests::{
    Compose, Edge, Fixture, Object, RULES, Rule, Shop, checks, figures, fixtures_folder, parse,
    read_fixtures,
};
use stores::Home;

static HOME: LazyLock<Home> = LazyLock::new(|| Home::find().expect("the repository"));

/// The map of the two services in `fixtures/good`.
const MAP: [Edge; 7] = [
    ("anybody", "order"),
    ("order", "product"),
    ("order", "postgres"),
    ("product", "postgres"),
    ("migrate", "postgres"),
    ("order", "collector"),
    ("product", "collector"),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("nothing_is_found_where_nothing_is_wrong", nothing_is_found),
        Trial::test("bad_input_is_refused", bad_input_is_refused),
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
    RULES.map(trial).into()
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
    Shop {
        objects: parse(&file("cluster.yaml")).unwrap(),
        compose: Compose::parse(&file("compose.yml")).unwrap(),
        known,
        map: MAP.into(),
        figures: figures(&file("resources.md")),
        version: "1.2.3".to_owned(),
    }
}

/// With what the fixture has in the place of what goes by the same name. A Job goes by its pods' label.
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
    let name = |object: &Object| match object.kind() {
        "Job" => "Job".to_owned(),
        _ => object.id(),
    };
    for object in parse(&fixture.text).unwrap() {
        shop.objects.retain(|other| name(other) != name(&object));
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
