//! What `docker-compose.yml` says of a container, as arguments of `docker create`. Only as much of Compose
//! as that file uses; what is not understood is an error, so that nothing is left out silently.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

/// The network of all containers.
pub(crate) const NETWORK: &str = "souk";

/// How images of ours are called while no registry is named.
const OURS: &str = "localhost/souk/";

/// What changes nothing here: how it is built (the same way, by `image`), when it is started (by
/// `project`), and what happens when it dies (the run fails).
const ELSEWHERE: [&str; 7] =
    ["build", "depends_on", "restart", "scale", "profiles", "networks", "logging"];

/// One service of the file.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    settings: Map<String, Value>,
}

/// The services, in the order of the file's names, with every variable at its default.
pub(crate) fn read(text: &str) -> Result<Vec<Service>> {
    let mut file: Value = serde_saphyr::from_str(text).context("docker-compose.yml")?;
    interpolate(&mut file)?;
    let services = file["services"].as_object().context("no services")?;
    let service = |(name, settings): (&String, &Value)| {
        let settings = settings.as_object().with_context(|| format!("{name} is no service"))?;
        Ok(Service { name: name.clone(), settings: settings.clone() })
    };
    services.iter().map(service).collect()
}

/// In every text, after the file was read: an empty default is an empty text.
fn interpolate(value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) => *text = interpolated(text)?,
        Value::Array(values) => values.iter_mut().try_for_each(interpolate)?,
        Value::Object(values) => values.values_mut().try_for_each(interpolate)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// `${NAME:-default}` → `default`, `$$` → `$`.
fn interpolated(text: &str) -> Result<String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            done.push('$');
            rest = after;
            continue;
        }
        let inside = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let (variable, after) = inside.context("a $ that is no ${NAME:-default}")?;
        let (_, default) = variable.split_once(":-").with_context(|| {
            format!("{variable} has no default: docker compose up must work without it")
        })?;
        done.push_str(default);
        rest = after;
    }
    Ok(done + rest)
}

impl Service {
    /// The process that it is a container of; none when its image is somebody else's.
    pub(crate) fn program(&self) -> Option<&str> {
        self.image().ok()?.strip_prefix(OURS)?.split(':').next()
    }

    pub(crate) fn image(&self) -> Result<&str> {
        self.settings.get("image").and_then(Value::as_str).context("no image")
    }

    /// The services that it waits for, each with the condition that it waits for.
    pub(crate) fn depends_on(&self) -> Vec<(&str, &str)> {
        let all = self.settings.get("depends_on").and_then(Value::as_object).into_iter().flatten();
        all.map(|(name, how)| (name.as_str(), how["condition"].as_str().unwrap_or_default()))
            .collect()
    }

    /// Whether it is started only when somebody asks for it.
    pub(crate) fn has_profile(&self) -> bool {
        self.settings.contains_key("profiles")
    }

    /// Whether it does its work and ends.
    pub(crate) fn is_once(&self) -> bool {
        self.settings.get("restart").and_then(Value::as_str) == Some("no")
    }

    /// The named volumes that it mounts.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let mounts = self.settings.get("volumes").map(texts).unwrap_or_default();
        let named = mounts.iter().filter_map(|mount| mount.split(':').next());
        named.filter(|source| !source.starts_with('.')).map(str::to_owned).collect()
    }

    /// How many of it there are.
    pub(crate) fn scale(&self) -> u64 {
        self.settings.get("scale").and_then(Value::as_u64).unwrap_or(1)
    }

    /// What is run in the container, after the first word of an entry point of the file's own; empty when
    /// that is the image's business.
    pub(crate) fn command(&self) -> Vec<String> {
        let entrypoint = self.settings.get("entrypoint").map(texts).unwrap_or_default();
        let command = self.settings.get("command").map(texts).unwrap_or_default();
        entrypoint.into_iter().skip(1).chain(command).collect()
    }

    /// The options of `docker create`, without image and command. Paths of the file are seen from `folder`.
    pub(crate) fn options(&self, folder: &Path) -> Result<Vec<String>> {
        let mut options =
            vec![format!("--network={NETWORK}"), format!("--network-alias={}", self.name)];
        for (key, value) in &self.settings {
            match key.as_str() {
                "image" | "command" => {}
                "entrypoint" => options.extend(each("--entrypoint", value).into_iter().take(1)),
                "user" => options.push(format!("--user={}", text(value))),
                "read_only" => options.push(format!("--read-only={}", text(value))),
                "mem_limit" => options.push(format!("--memory={}", text(value))),
                "shm_size" => options.push(format!("--shm-size={}", text(value))),
                "cap_drop" => options.extend(each("--cap-drop", value)),
                "security_opt" => options.extend(each("--security-opt", value)),
                "tmpfs" => options.extend(each("--tmpfs", value)),
                "ports" => options.extend(each("--publish", value)),
                "volumes" => options.extend(mounts(value, folder)),
                "environment" => options.extend(environment(value)?),
                "stop_grace_period" => options.push(format!("--stop-timeout={}", seconds(value)?)),
                "healthcheck" => options.extend(healthcheck(value)?),
                other if ELSEWHERE.contains(&other) => {}
                other => bail!("{}: {other} is not understood here", self.name),
            }
        }
        Ok(options)
    }
}

fn mounts(value: &Value, folder: &Path) -> Vec<String> {
    let whole = |mount: String| match mount.strip_prefix("./") {
        Some(path) => format!("--volume={}/{path}", folder.display()),
        None => format!("--volume={mount}"),
    };
    texts(value).into_iter().map(whole).collect()
}

/// The client takes the test as one line of a shell.
fn healthcheck(value: &Value) -> Result<Vec<String>> {
    if value["disable"] == true {
        return Ok(vec!["--no-healthcheck".into()]);
    }
    let test = texts(&value["test"]);
    let line = match test.split_first() {
        Some((kind, [line])) if kind == "CMD-SHELL" => line.clone(),
        Some((kind, words)) if kind == "CMD" => words.join(" "),
        _ => bail!("a health check that is not understood here: {value}"),
    };
    let mut options = vec![format!("--health-cmd={line}")];
    for (key, option) in
        [("interval", "--health-interval"), ("start_period", "--health-start-period")]
    {
        options.extend(value[key].as_str().map(|time| format!("{option}={time}")));
    }
    Ok(options)
}

fn environment(value: &Value) -> Result<Vec<String>> {
    let variables = value.as_object().context("environment is not a map")?;
    Ok(variables.iter().map(|(name, value)| format!("--env={name}={}", text(value))).collect())
}

fn each(option: &str, values: &Value) -> Vec<String> {
    texts(values).into_iter().map(|value| format!("{option}={value}")).collect()
}

fn texts(values: &Value) -> Vec<String> {
    values.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn seconds(value: &Value) -> Result<u32> {
    let text = text(value);
    let number = text.strip_suffix('s').with_context(|| format!("{text} is not in seconds"))?;
    let seconds = number.parse()?;
    ensure!(
        seconds > 20,
        "a process takes 20 s at most, and needs more than that until it is killed"
    );
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
x-base: &base { user: "1:1", read_only: true, cap_drop: [ALL], restart: "no" }
x-more: &more
  image: ${REGISTRY:-localhost/souk}/a:${VERSION:-1}
services:
  a:
    <<: [*base, *more]
    entrypoint: [go, -f]
    command: ["$$HOME"]
    depends_on: { b: { condition: service_healthy } }
    volumes: ["data:/data:nocopy", "./conf:/etc/a:ro"]
    environment:
      PORT: 1
      EMPTY: ${NO:-}
    stop_grace_period: 25s
    healthcheck: { test: [CMD, a, "-q"], interval: 2s }
"#;

    fn options(file: &str) -> Result<Vec<String>> {
        read(file)?[0].options(Path::new("/shop"))
    }

    #[test]
    fn what_the_file_says_is_what_docker_is_told() {
        let services = read(FILE).expect("legible");
        let a = &services[0];
        assert_eq!((a.name.as_str(), a.program(), a.scale()), ("a", Some("a"), 1));
        assert_eq!(a.image().expect("one"), "localhost/souk/a:1");
        assert_eq!(a.depends_on(), [("b", "service_healthy")]);
        assert_eq!(a.volumes(), ["data"]);
        assert!(a.is_once() && !a.has_profile());
        assert_eq!(a.command(), ["-f", "$HOME"]);
        let mut options = options(FILE).expect("understood");
        options.sort();
        let expected = [
            "--cap-drop=ALL",
            "--entrypoint=go",
            "--env=EMPTY=",
            "--env=PORT=1",
            "--health-cmd=a -q",
            "--health-interval=2s",
            "--network-alias=a",
            "--network=souk",
            "--read-only=true",
            "--stop-timeout=25",
            "--user=1:1",
            "--volume=/shop/conf:/etc/a:ro",
            "--volume=data:/data:nocopy",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let with = |line: &str| options(&format!("{FILE}    {line}\n"));
        assert!(with("mem_limit: 64m").is_ok());
        assert!(with("privileged: true").is_err());
        assert!(with("hostname: ${HOST}").is_err(), "a variable without a default");
        assert!(options(&FILE.replace("25s", "10s")).is_err());
        assert!(options(&FILE.replace("[CMD, a, \"-q\"]", "[NONE]")).is_err());
    }
}
