//! What `docker-compose.yml` says of a container, as arguments of `docker run`. Only as much of Compose
//! as that file uses; what is not understood is an error, so that nothing is left out silently.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

/// The network of all containers.
pub(crate) const NETWORK: &str = "souk";

/// What changes nothing here: how it is built (the same way, by `image`), when it is started (by
/// `story`), and what happens when it dies (the run fails).
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
        self.settings.get("build")?["args"]["SERVICE"].as_str()
    }

    pub(crate) fn image(&self) -> Result<&str> {
        self.settings.get("image").and_then(Value::as_str).context("no image")
    }

    /// Whether it is started only when somebody asks for it.
    pub(crate) fn has_profile(&self) -> bool {
        self.settings.contains_key("profiles")
    }

    /// Whether it does its work and ends.
    pub(crate) fn is_once(&self) -> bool {
        self.settings.get("restart").and_then(Value::as_str) == Some("no")
    }

    /// How many of it there are.
    pub(crate) fn scale(&self) -> u64 {
        self.settings.get("scale").and_then(Value::as_u64).unwrap_or(1)
    }

    /// What is run in the container; empty when that is the image's business.
    pub(crate) fn command(&self) -> Vec<String> {
        self.settings.get("command").map(texts).unwrap_or_default()
    }

    /// The options of `docker run`, without image and command.
    pub(crate) fn options(&self) -> Result<Vec<String>> {
        let mut options =
            vec![format!("--network={NETWORK}"), format!("--network-alias={}", self.name)];
        for (key, value) in &self.settings {
            match key.as_str() {
                "image" | "command" => {}
                "user" => options.push(format!("--user={}", text(value))),
                "read_only" => options.push(format!("--read-only={}", text(value))),
                "mem_limit" => options.push(format!("--memory={}", text(value))),
                "cap_drop" => options.extend(each("--cap-drop", value)),
                "security_opt" => options.extend(each("--security-opt", value)),
                "tmpfs" => options.extend(each("--tmpfs", value)),
                "volumes" => options.extend(each("--volume", value)),
                "environment" => options.extend(environment(value)?),
                "stop_grace_period" => options.push(format!("--stop-timeout={}", seconds(value)?)),
                "healthcheck" if value["disable"] == true => {
                    options.push("--no-healthcheck".into())
                }
                other if ELSEWHERE.contains(&other) => {}
                other => bail!("{}: {other} is not understood here", self.name),
            }
        }
        Ok(options)
    }
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
  image: ${IMAGES:-souk}/a:${VERSION:-1}
  build: { args: { SERVICE: a } }
services:
  a:
    <<: [*base, *more]
    command: [go, "$$HOME"]
    environment:
      PORT: 1
      EMPTY: ${NO:-}
    stop_grace_period: 25s
    healthcheck: { disable: true }
"#;

    #[test]
    fn what_the_file_says_is_what_docker_is_told() {
        let services = read(FILE).expect("legible");
        let a = &services[0];
        assert_eq!((a.name.as_str(), a.program(), a.scale()), ("a", Some("a"), 1));
        assert_eq!(a.image().expect("one"), "souk/a:1");
        assert!(a.is_once() && !a.has_profile());
        assert_eq!(a.command(), ["go", "$HOME"]);
        let mut options = a.options().expect("understood");
        options.sort();
        let expected = [
            "--cap-drop=ALL",
            "--env=EMPTY=",
            "--env=PORT=1",
            "--network-alias=a",
            "--network=souk",
            "--no-healthcheck",
            "--read-only=true",
            "--stop-timeout=25",
            "--user=1:1",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let with = |line: &str| {
            let services = read(&format!("{FILE}    {line}\n"));
            services.and_then(|services| services[0].options())
        };
        assert!(with("mem_limit: 64m").is_ok());
        assert!(with("privileged: true").is_err());
        assert!(with("hostname: ${HOST}").is_err(), "a variable without a default");
        assert!(read(&FILE.replace("25s", "10s")).expect("legible")[0].options().is_err());
    }
}
