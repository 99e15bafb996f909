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
        let text = with_defaults(text)?;
        let file: Value = serde_saphyr::from_str(&text).context("not YAML")?;
        let services = file["services"].as_object().context("no services")?;
        let services = services.iter().map(|(name, service)| (name.clone(), service.clone()));
        Ok(Self { services: services.collect() })
    }

    /// The names of all services.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// A service as it is written; null when there is none.
    pub fn service(&self, name: &str) -> &Value {
        self.services.get(name).unwrap_or(&Value::Null)
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

/// `${NAME:-default}` → `default`.
fn with_defaults(text: &str) -> Result<String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').context("a variable without an end")?;
        done.push_str(before);
        done.push_str(variable.split_once(":-").map_or("", |(_, default)| default));
        rest = after;
    }
    Ok(done + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_their_defaults() {
        let done = with_defaults("a: ${R:-localhost/souk}/b:${V:-1} ${NONE} $$HOME\n");
        assert_eq!(done.expect("legible"), "a: localhost/souk/b:1  $$HOME\n");
        assert!(with_defaults("${R").is_err());
    }
}
