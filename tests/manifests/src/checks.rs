//! The checks that need programs which the repository does not hold. Each first looks at its
//! fixtures, so that one that finds nothing is known for it.

use anyhow::{Context as _, Result};
use souk::validators::Validators;
use stores::Home;

use crate::rendering::{Tree, programs};
use crate::{
    Complaints, Compose, RULES, Shop, checkov, figures, fixtures, help, map, parse, refused,
    schemas,
};

/// Every kustomization renders, and what it renders keeps the rules.
///
/// # Errors
/// When something cannot be run or read.
pub fn rules(home: &Home) -> Result<Complaints> {
    let mut complaints = renders_only_what_is_whole(home)?;
    let shop = everything(home)?;
    for (name, rule) in RULES {
        complaints.extend(rule(&shop).into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    complaints.extend(applied_again(home)?);
    Ok(complaints)
}

/// What is changed when somebody names a registry of their own, or the next version comes: in every line of a kustomization
/// that says it.
const CHANGES: [&[(&str, &str)]; 3] = [
    &[("newName: localhost/souk/", "newName: registry.example.com/acme/")],
    &[("newTag: 0.1.0", "newTag: 0.1.0-2")],
    &[(env!("CARGO_PKG_VERSION"), "99.0.0")],
];

/// Everything is applied, applied again as it is, and then with another registry, another tag, and as another version: a
/// cluster takes each.
///
/// # Errors
/// When something cannot be run or read.
pub fn applied_again(home: &Home) -> Result<Complaints> {
    let tree = Tree::prepare(home)?;
    let mut complaints = Vec::new();
    for overlay in tree.overlays()? {
        let first = tree.render(&overlay)?;
        if tree.render(&overlay)? != first {
            complaints.push(format!("{overlay}: renders otherwise the second time"));
        }
        for change in CHANGES {
            let changed = tree.changed(change)?.render(&overlay)?;
            if changed == first {
                complaints.push(format!("{overlay}: {change:?} changes nothing"));
            }
            let refused = refused(&parse(&first)?, &parse(&changed)?);
            complaints.extend(refused.into_iter().map(|it| format!("{overlay}: {change:?}: {it}")));
        }
    }
    Ok(complaints)
}

/// A kustomization that is broken does not render.
fn renders_only_what_is_whole(home: &Home) -> Result<Complaints> {
    let mut complaints = Vec::new();
    for entry in std::fs::read_dir(fixtures::folder(home).join("kustomize"))? {
        let folder = entry?.path();
        let fixtures = fixtures::read(&folder)?;
        let rendered = Tree::of_fixture(home, &folder)?.render("k8s/overlays/fixture");
        let said = rendered.map_or_else(|error| format!("{error:#}"), |_| "nothing".to_owned());
        complaints.extend(fixtures.iter().filter_map(|fixture| fixture.complaint(&said)));
    }
    Ok(complaints)
}

/// What `kubectl apply -k` of everything would send, and what it is compared with.
///
/// # Errors
/// When something cannot be run or read.
pub fn everything(home: &Home) -> Result<Shop> {
    let tree = Tree::prepare(home)?;
    let mut objects = Vec::new();
    for overlay in tree.overlays()? {
        objects.extend(parse(&tree.render(&overlay)?).context(overlay)?);
    }
    let read =
        |path: &'static str| std::fs::read_to_string(home.workspace().join(path)).context(path);
    let compose = read(COMPOSE)?;
    let settings = help::settings(&objects, &programs()?)?;
    let known = settings.iter().map(|(name, (known, _))| (name.clone(), known.clone()));
    let defaults = settings.iter().map(|(name, (_, defaults))| (name.clone(), defaults.clone()));
    Ok(Shop {
        compose: Compose::parse(&compose).context(COMPOSE)?,
        known: known.collect(),
        defaults: defaults.collect(),
        objects,
        map: map(),
        figures: figures(&read(RESOURCES)?),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// What is rendered of an overlay of somebody's own upon the local one, with these further lines. None by a kubectl that
/// does not know `patches` yet.
///
/// # Errors
/// When something cannot be run or read.
pub fn patched(home: &Home, lines: &str) -> Result<Option<String>> {
    let tree = Tree::prepare(home)?;
    if tree.is_old() {
        return Ok(None);
    }
    let own = format!("resources:\n  - ../local\n{lines}");
    tree.add_overlay("own", &own)?.render("k8s/overlays/own").map(Some)
}

const COMPOSE: &str = "docker-compose.yml";
const OBSERVED: &str = "deploy/observability/compose.yml";
const RESOURCES: &str = "k8s/resources.md";
const EVENTS: &str = "docs/events/asyncapi.json";

/// Every object fits its schema, and the catalogue of events that of AsyncAPI documents.
///
/// # Errors
/// When something cannot be run or read.
pub fn schemas(home: &Home) -> Result<Complaints> {
    let validators = validators(home)?;
    let mut complaints = Vec::new();
    for fixture in fixtures::read(&fixtures::folder(home).join("schemas"))? {
        let said = schemas::complaints(home, &validators, &fixture.text)?.join("; ");
        complaints.extend(fixture.complaint(&said));
    }
    complaints.extend(schemas::custom_fixtures(home, &validators)?);
    complaints.extend(events(home, &validators)?);
    let tree = Tree::prepare(home)?;
    for overlay in tree.overlays()? {
        let said = schemas::complaints(home, &validators, &tree.render(&overlay)?)?;
        complaints.extend(said.into_iter().map(|complaint| format!("{overlay}: {complaint}")));
    }
    Ok(complaints)
}

fn events(home: &Home, validators: &Validators) -> Result<Complaints> {
    let mut complaints = Vec::new();
    for fixture in fixtures::read(&fixtures::folder(home).join("asyncapi"))? {
        complaints.extend(fixture.complaint(&schemas::of_asyncapi(validators, &fixture.path)?));
    }
    let said = schemas::of_asyncapi(validators, &home.workspace().join(EVENTS))?;
    complaints.extend((!said.is_empty()).then(|| format!("{EVENTS}: {said}")));
    Ok(complaints)
}

/// The outside judge of pods has nothing to say but what has a reason.
///
/// # Errors
/// When something cannot be run or read.
pub fn checkov(home: &Home) -> Result<Complaints> {
    let tree = Tree::prepare(home)?;
    let mut rendered = Vec::new();
    for overlay in tree.overlays()? {
        rendered.push((overlay.replace('/', "-"), tree.render(&overlay)?));
    }
    checkov::judge(home, &validators(home)?, &rendered)
}

/// The compose files fit the schema of compose files.
///
/// # Errors
/// When something cannot be run or read.
pub fn compose(home: &Home) -> Result<Complaints> {
    let validators = validators(home)?;
    let mut complaints = Vec::new();
    for fixture in fixtures::read(&fixtures::folder(home).join("compose"))? {
        complaints.extend(fixture.complaint(&schemas::of_compose(&validators, &fixture.path)?));
    }
    for file in [COMPOSE, OBSERVED] {
        let said = schemas::of_compose(&validators, &home.workspace().join(file))?;
        complaints.extend((!said.is_empty()).then_some(said));
    }
    Ok(complaints)
}

fn validators(home: &Home) -> Result<Validators> {
    Validators::find(home)
        .context("the validators are not here: cargo souk test --all fetches them")
}
