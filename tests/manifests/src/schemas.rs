//! Schemas: those of the API (`kubernetes-validate`), those of custom resources, that of compose
//! files (`check-jsonschema`), and the model of AsyncAPI documents (`asyncapi3`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use souk::validators::Validators;
use stores::Home;

use crate::{Complaints, Object, fixtures, parse};

/// Schemas of custom resources, beside the repository: other projects' data, which is not ours to keep.
const CUSTOM: &str = "../shared/crds";

/// What is wrong with the objects of a text.
///
/// # Errors
/// When the validator cannot be run.
pub fn complaints(home: &Home, validators: &Validators, yaml: &str) -> Result<Complaints> {
    let (custom, ours): (Vec<_>, Vec<_>) =
        parse(yaml)?.into_iter().partition(|it| schema(home, it).is_some());
    let mut complaints = Vec::new();
    for object in &custom {
        complaints.extend(of_custom(home, validators, object)?);
    }
    complaints.extend(of_the_api(validators, &ours)?);
    Ok(complaints)
}

/// Strictly: a field that the schema does not know is an error, and so is an unknown kind.
fn of_the_api(validators: &Validators, objects: &[Object]) -> Result<Complaints> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("objects.yaml");
    // JSON is YAML.
    let documents: Vec<String> = objects.iter().map(|object| object.value().to_string()).collect();
    fs::write(&file, documents.join("\n---\n"))?;
    let mut command = validators.command("kubernetes_validate");
    let said = run(command.arg("--strict").arg(&file))?;
    let passed = said.lines().filter(|line| line.starts_with("INFO")).count();
    let others = said.lines().filter(|line| !line.starts_with("INFO"));
    let others = others.map(|line| line.replace(&file.display().to_string(), ""));
    let mut complaints: Vec<String> = others.filter(|line| !line.trim().is_empty()).collect();
    // Whatever it does not speak of was not looked at.
    if complaints.is_empty() && passed != objects.len() {
        complaints.push(format!("only {passed} of {} objects were validated", objects.len()));
    }
    Ok(complaints)
}

fn schema(home: &Home, object: &Object) -> Option<PathBuf> {
    let (group, version) = object.api_version().split_once('/')?;
    let file = format!("{group}_{}_{version}.json", object.kind());
    Some(home.workspace().join(CUSTOM).join(file)).filter(|path| path.is_file())
}

fn of_custom(home: &Home, validators: &Validators, object: &Object) -> Result<Complaints> {
    let path = schema(home, object).context("no schema")?;
    let mut schema: Value = serde_json::from_slice(&fs::read(path)?)?;
    close(&mut schema);
    let folder = tempfile::tempdir()?;
    let [schema_file, file] = ["schema.json", "object.json"].map(|name| folder.path().join(name));
    fs::write(&schema_file, schema.to_string())?;
    fs::write(&file, object.value().to_string())?;
    let mut command = validators.command("check_jsonschema");
    let said = run(command.arg("--schemafile").arg(schema_file).arg(&file))?;
    let wrong = said.lines().filter_map(|line| line.split_once("object.json::"));
    let wrong: Vec<_> = wrong.map(|(_, what)| format!("{}: {what}", object.id())).collect();
    let odd = wrong.is_empty() && !said.contains("ok --");
    Ok(if odd { vec![format!("{}: {said}", object.id())] } else { wrong })
}

/// Fields that a schema does not name are errors, but where it says that they are kept.
fn close(schema: &mut Value) {
    if schema["x-kubernetes-preserve-unknown-fields"] != true
        && schema["properties"].is_object()
        && schema["additionalProperties"].is_null()
    {
        schema["additionalProperties"] = json!(false);
    }
    match schema {
        Value::Object(fields) => {
            // Alternatives repeat single fields of what they are alternatives of.
            let alternatives = ["allOf", "anyOf", "oneOf", "not"];
            let inner =
                fields.iter_mut().filter(|(name, _)| !alternatives.contains(&name.as_str()));
            inner.for_each(|(_, inner)| close(inner));
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The fixtures of custom resources, where their schemas are.
///
/// # Errors
/// When the validator cannot be run.
pub fn custom_fixtures(home: &Home, validators: &Validators) -> Result<Complaints> {
    let mut complaints = Vec::new();
    for fixture in fixtures::read(&fixtures::folder(home).join("custom"))? {
        let known = parse(&fixture.text)?.iter().any(|object| schema(home, object).is_some());
        if !known {
            println!("not checked, its schema is not here: {}", fixture.path.display());
            continue;
        }
        let said = self::complaints(home, validators, &fixture.text)?.join("; ");
        complaints.extend(fixture.complaint(&said));
    }
    Ok(complaints)
}

/// What is wrong with a compose file; nothing, if nothing is.
///
/// # Errors
/// When the validator cannot be run.
pub fn of_compose(validators: &Validators, file: &Path) -> Result<String> {
    let mut command = validators.command("check_jsonschema");
    let said = run(command.args(["--builtin-schema", "vendor.compose-spec"]).arg(file))?;
    Ok(if said.trim().ends_with("ok -- validation done") { String::new() } else { said })
}

/// Says what is wrong with a document, or nothing. JSON is YAML.
const ASYNCAPI: &str = "
import sys, warnings, yaml
warnings.simplefilter('ignore')
from asyncapi3.models import AsyncAPI3
from pydantic import ValidationError
try:
    AsyncAPI3.model_validate(yaml.safe_load(open(sys.argv[1])))
except ValidationError as error:
    print('; '.join('.'.join(map(str, it['loc'])) + ': ' + it['msg'] for it in error.errors()))
";

/// What is wrong with an AsyncAPI document; nothing, if nothing is.
///
/// # Errors
/// When the validator cannot be run.
pub fn of_asyncapi(validators: &Validators, file: &Path) -> Result<String> {
    let output = validators.script(ASYNCAPI).arg(file).output().context("cannot run Python")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot run Python")?;
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.code().is_some_and(|code| code <= 2), "{}: {}", output.status, said[1]);
    Ok(said.concat())
}
