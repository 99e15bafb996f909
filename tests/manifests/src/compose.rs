//! What the compose file says that manifests are compared with.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::objects::{list_of, text};

/// The services of a compose file.
#[derive(Clone, Debug, Default)]
pub struct Compose {
    services: BTreeMap<String, Value>,
}

impl Compose {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is no YAML, or has no services.
    pub fn parse(text: &str) -> Result<Self> {
        let file: Value = serde_saphyr::from_str(text).context("not YAML")?;
        let services = file["services"].as_object().context("no services")?;
        let services = services.iter().map(|(name, service)| (name.clone(), service.clone()));
        Ok(Self { services: services.collect() })
    }

    /// The names of all services.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// The image of a service.
    pub fn image(&self, service: &str) -> Option<&str> {
        self.services.get(service)?["image"].as_str()
    }

    /// The names of the variables of a service.
    pub fn variables(&self, service: &str) -> BTreeSet<String> {
        let environment = self.services.get(service).map_or(&Value::Null, |it| &it["environment"]);
        let map = environment.as_object().into_iter().flatten().map(|(name, _)| name.clone());
        // The other form: a list of NAME=value.
        let list = list_of(environment);
        let list = list.filter_map(|line| text(line).split('=').next().map(str::to_owned));
        map.chain(list).collect()
    }
}
