//! checkov, the outside judge of what runs in a cluster. What it finds and we keep is in
//! `k8s/checkov.yaml`, each with its reason; what is there and is found no more has to go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;
use souk::validators::Validators;
use stores::Home;

use crate::objects::{list_of, text};
use crate::{Complaints, fixtures};

const BASELINE: &str = "k8s/checkov.yaml";

/// A finding that is kept.
struct Kept {
    check: String,
    /// `Deployment/order`; all, when none is named.
    resources: Vec<String>,
    reason: String,
}

/// What it finds beyond what is kept. `rendered` are texts by the name of a file.
///
/// # Errors
/// When it cannot be run, or the baseline cannot be read.
pub fn judge(
    home: &Home,
    validators: &Validators,
    rendered: &[(String, String)],
) -> Result<Complaints> {
    // It does not look into folders whose names begin with a dot, as those of tempfile do.
    let folder = tempfile::Builder::new().prefix("checkov").tempdir()?;
    let broken = fixtures::read(&fixtures::folder(home).join("checkov"))?;
    for (name, text) in rendered {
        fs::write(folder.path().join(format!("{name}.yaml")), text)?;
    }
    for fixture in &broken {
        fs::write(folder.path().join(format!("fixture-{}.yaml", fixture.name())), &fixture.text)?;
    }
    let mut command = validators.command("checkov.main");
    command.args([
        "--framework",
        "kubernetes",
        "--skip-download",
        "--quiet",
        "--compact",
        "--output",
        "json",
    ]);
    let output =
        command.arg("--directory").arg(folder.path()).output().context("cannot run Python")?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("checkov: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    let mut found = findings(&report);
    let mut complaints = Vec::new();
    for fixture in &broken {
        let file = format!("/fixture-{}.yaml", fixture.name());
        let said: Vec<String> =
            found.remove(&file).unwrap_or_default().into_iter().map(|it| it.check).collect();
        complaints.extend(fixture.complaint(&said.join(" ")));
    }
    let kept = baseline(&fs::read_to_string(home.workspace().join(BASELINE)).context(BASELINE)?)?;
    complaints.extend(compared(&kept, &found.into_values().flatten().collect()));
    Ok(complaints)
}

/// One check that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    check: String,
    what: String,
    resource: String,
}

/// By file.
fn findings(report: &Value) -> BTreeMap<String, BTreeSet<Finding>> {
    let mut found: BTreeMap<String, BTreeSet<Finding>> = BTreeMap::new();
    for one in list_of(&report["results"]["failed_checks"]) {
        // `Deployment.souk.order`, kind, namespace and name
        let resource = text(&one["resource"]).splitn(3, '.').collect::<Vec<_>>();
        let resource = match resource.as_slice() {
            [kind, _, name] => format!("{kind}/{name}"),
            other => other.join("."),
        };
        let of = |field: &str| text(&one[field]).to_owned();
        let finding = Finding { check: of("check_id"), what: of("check_name"), resource };
        found.entry(of("file_path")).or_default().insert(finding);
    }
    found
}

fn baseline(yaml: &str) -> Result<Vec<Kept>> {
    let entries: Value = serde_saphyr::from_str(yaml).context(BASELINE)?;
    let kept = list_of(&entries).map(|entry| {
        let kept = Kept {
            check: text(&entry["check"]).to_owned(),
            resources: list_of(&entry["resources"]).map(|one| text(one).to_owned()).collect(),
            reason: text(&entry["reason"]).to_owned(),
        };
        anyhow::ensure!(!kept.reason.is_empty(), "{BASELINE}: {}: give the reason", kept.check);
        Ok(kept)
    });
    kept.collect()
}

fn compared(kept: &[Kept], found: &BTreeSet<Finding>) -> Complaints {
    let covers = |kept: &Kept, finding: &Finding| {
        kept.check == finding.check
            && (kept.resources.is_empty() || kept.resources.contains(&finding.resource))
    };
    let new = found.iter().filter(|finding| !kept.iter().any(|kept| covers(kept, finding)));
    let new = new.map(|it| format!("{}: {}: {}", it.resource, it.check, it.what));
    let stale = kept.iter().filter(|kept| !found.iter().any(|finding| covers(kept, finding)));
    let stale =
        stale.map(|kept| format!("{BASELINE}: {} is found no more: take it out", kept.check));
    new.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: &str, resource: &str) -> Finding {
        Finding { check: check.into(), what: "w".into(), resource: resource.into() }
    }

    #[test]
    fn what_is_new_and_what_is_stale_are_told() {
        let kept = baseline("[{check: A, reason: r}, {check: B, reason: r, resources: [Pod/x]}]")
            .expect("valid");
        let complaints =
            |found: &[Finding]| compared(&kept, &found.iter().cloned().collect()).join("\n");
        assert_eq!(complaints(&[found("A", "Pod/y"), found("B", "Pod/x")]), "");
        assert!(complaints(&[found("A", "Pod/y"), found("B", "Pod/y")]).contains("Pod/y: B: w"));
        assert!(complaints(&[found("A", "Pod/y")]).contains("B is found no more"));
    }

    #[test]
    fn a_finding_is_not_kept_without_a_reason() {
        assert!(baseline("[{check: A}]").is_err());
    }
}
