//! Objects of a cluster, read from YAML, and the questions that all rules ask them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Labels, or what a selector wants of them.
pub type Labels = BTreeMap<String, String>;

/// One object, as it would be applied.
#[derive(Clone, Debug)]
pub struct Object {
    value: Value,
}

/// Reads every document of a YAML text; empty ones are left out.
///
/// # Errors
/// When it is no YAML.
pub fn parse(text: &str) -> Result<Vec<Object>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
    Ok(documents.into_iter().filter(Value::is_object).map(|value| Object { value }).collect())
}

impl Object {
    /// The whole of it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What is at a path such as `/spec/template`; null when nothing is.
    pub fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// `Deployment`.
    pub fn kind(&self) -> &str {
        text(self.at("/kind"))
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> &str {
        text(self.at("/apiVersion"))
    }

    /// Its name, within kind and namespace.
    pub fn name(&self) -> &str {
        text(self.at("/metadata/name"))
    }

    /// As messages name it: `Deployment/order`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// The pod that it makes, or is.
    pub fn pod(&self) -> Option<Pod<'_>> {
        let template = match self.kind() {
            "Pod" => &self.value,
            "CronJob" => self.at("/spec/jobTemplate/spec/template"),
            _ => self.at("/spec/template"),
        };
        let there = template.pointer("/spec/containers").is_some();
        there.then(|| Pod {
            owner: self,
            labels: labels(&template["metadata"]["labels"]),
            template,
        })
    }
}

/// The pod of a workload.
#[derive(Clone, Debug)]
pub struct Pod<'a> {
    /// What makes it.
    pub owner: &'a Object,
    /// Its labels.
    pub labels: Labels,
    template: &'a Value,
}

impl<'a> Pod<'a> {
    /// Its specification.
    pub fn spec(&self) -> &'a Value {
        &self.template["spec"]
    }

    /// Whether it stays, and does not end when it has done something.
    pub fn stays(&self) -> bool {
        !["Job", "CronJob"].contains(&self.owner.kind())
    }

    /// The label that its workload goes by: `order`.
    pub fn app(&self) -> &str {
        self.labels.get(APP).map_or("", String::as_str)
    }

    /// Those that stay.
    pub fn serving(&self) -> impl Iterator<Item = Container<'a>> {
        list_of(&self.spec()["containers"]).map(|value| Container { value })
    }

    /// All containers, those that run before the others first.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> {
        let lists = ["initContainers", "containers"].map(|list| list_of(&self.spec()[list]));
        lists.into_iter().flatten().map(|value| Container { value })
    }

    /// The numbers and names of all its ports.
    pub fn ports(&self) -> Vec<(u64, &'a str)> {
        self.containers().flat_map(|container| container.ports()).collect()
    }

    /// The number of a port that is given by number or by name, if the pod has it.
    pub fn port(&self, port: &Value) -> Option<u64> {
        let ports = self.ports().into_iter();
        let same = |number: u64, name: &str| match port {
            Value::String(wanted) => name == wanted,
            _ => port.as_u64() == Some(number),
        };
        ports.filter(|(number, name)| same(*number, name)).map(|(number, _)| number).next()
    }
}

/// One container.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// As it is written.
    pub value: &'a Value,
}

impl<'a> Container<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        text(&self.value["name"])
    }

    /// `souk/order:0.1.0`.
    pub fn image(&self) -> &'a str {
        text(&self.value["image"])
    }

    /// The process of ours that runs in it, whatever the registry: one of ours by its name, or whatever else
    /// is said to be in `…/souk/`.
    pub fn program(&self) -> Option<&'a str> {
        crate::images::program(self.image())
    }

    /// Number and name of each port.
    pub fn ports(&self) -> Vec<(u64, &'a str)> {
        let ports = list_of(&self.value["ports"]);
        ports.map(|p| (p["containerPort"].as_u64().unwrap_or(0), text(&p["name"]))).collect()
    }

    /// The variables that are set one by one, each with its value; none where it comes from elsewhere.
    pub fn variables(&self) -> Vec<(&'a str, Option<&'a str>)> {
        let variables = list_of(&self.value["env"]);
        variables.map(|variable| (text(&variable["name"]), variable["value"].as_str())).collect()
    }
}

/// The label by which workloads are told apart.
pub const APP: &str = "app.kubernetes.io/name";

/// A text; nothing when it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a list; none when it is no list.
pub fn list_of(value: &Value) -> impl Iterator<Item = &Value> + use<'_> {
    value.as_array().into_iter().flatten()
}

/// A map of texts; empty when it is none.
pub fn labels(value: &Value) -> Labels {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.clone(), text(value).to_owned())).collect()
}

/// Whether a label selector (`matchLabels`, `matchExpressions`) matches. An empty one matches all.
pub fn matches(selector: &Value, found: &Labels) -> bool {
    let wanted = labels(&selector["matchLabels"]);
    let expressions = list_of(&selector["matchExpressions"]);
    contains(found, &wanted) && expressions.into_iter().all(|one| expression(one, found))
}

/// Whether all of `wanted` is there.
pub fn contains(found: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| found.get(key) == Some(value))
}

fn expression(one: &Value, found: &Labels) -> bool {
    let value = found.get(text(&one["key"]));
    let listed =
        || list_of(&one["values"]).any(|known| Some(text(known)) == value.map(String::as_str));
    match text(&one["operator"]) {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
