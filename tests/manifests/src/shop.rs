//! Everything that rules look at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::objects::{Pod, list_of, text};
use crate::{Compose, Edge, Figures, Object};

/// What is applied together, and what it is compared with.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The objects of one namespace.
    pub objects: Vec<Object>,
    /// The same shop for `docker compose`.
    pub compose: Compose,
    /// Of each process of ours, the environment variables that its `--help` names.
    pub known: BTreeMap<String, BTreeSet<String>>,
    /// Of each process of ours, the defaults of those variables, by its `--help`, too.
    pub defaults: BTreeMap<String, BTreeMap<String, String>>,
    /// Who calls whom.
    pub map: Vec<Edge>,
    /// What each process takes, asks for, and may have.
    pub figures: BTreeMap<String, Figures>,
    /// The version of the workspace: `0.1.0`.
    pub version: String,
}

impl Shop {
    /// All objects of a kind.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    /// One object.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.kind() == kind && object.name() == name)
    }

    /// The pods of all workloads.
    pub fn pods(&self) -> Vec<Pod<'_>> {
        self.objects.iter().filter_map(Object::pod).collect()
    }

    /// All variables of a container: those set one by one, and those of whole ConfigMaps.
    pub fn variables_of(&self, container: &Value) -> BTreeMap<String, Option<String>> {
        let maps = list_of(&container["envFrom"]);
        let maps =
            maps.filter_map(|from| self.find("ConfigMap", text(&from["configMapRef"]["name"])));
        let whole = maps.flat_map(|map| map.at("/data").as_object().into_iter().flatten());
        let whole = whole.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned)));
        let single = list_of(&container["env"]);
        let single = single
            .map(|one| (text(&one["name"]).to_owned(), one["value"].as_str().map(str::to_owned)));
        whole.chain(single).collect()
    }
}
