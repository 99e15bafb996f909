//! `docker compose up --wait` and `docker compose down`, as Compose does them since its second version
//! (docker/compose, `pkg/compose`: `convergence.go`, `start.go`): all containers are created before any is started,
//! those that others depend on first; one that is there stays, and is started if it does not run; and the command
//! ends well only when every service runs, or has ended well where another waits for just that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use operator::process::wait_until;

use crate::compose::{NETWORK, Service};
use crate::engine::Engine;

/// For a start of everything, a database that is made included.
const UP_MAX: Duration = Duration::from_secs(120);

/// What a dependency is waited for, in the words of the file.
const COMPLETED: &str = "service_completed_successfully";
const HEALTHY: &str = "service_healthy";
/// What `--wait` asks of a service that nobody waits to end.
const RUNNING: &str = "running_or_healthy";

/// The services of a compose file on an engine, without those of a profile.
pub(crate) struct Project<'a> {
    engine: &'a Engine<'a>,
    /// Each after those that it depends on.
    services: Vec<Service>,
    /// Where paths of the file are seen from.
    folder: PathBuf,
    /// More options, for the images that stand in for others.
    options: BTreeMap<String, Vec<String>>,
}

/// How a container stands.
struct State {
    status: String,
    exit_code: String,
    /// Empty without a health check.
    health: String,
}

impl<'a> Project<'a> {
    pub(crate) fn new(
        engine: &'a Engine<'a>,
        services: &[Service],
        folder: &Path,
        options: BTreeMap<String, Vec<String>>,
    ) -> Result<Self> {
        let services = services.iter().filter(|it| !it.has_profile()).cloned().collect();
        let services = in_dependency_order(services)?;
        Ok(Self { engine, services, folder: folder.to_owned(), options })
    }

    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// The names of a service's containers.
    pub(crate) fn containers(service: &Service) -> Vec<String> {
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        (0..service.scale()).map(|one| operator::plan::name(&service.name, number(one))).collect()
    }

    /// All containers by their names: the engine's ids.
    pub(crate) fn ids(&self) -> Result<BTreeMap<String, String>> {
        let listed = self.engine.docker(&["ps", "--all", "--format", "{{.Names}} {{.ID}}"])?;
        let pairs = listed.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
    }

    /// `up --wait`.
    pub(crate) fn up(&self) -> Result<()> {
        let networks = self.engine.docker(&["network", "ls", "--format", "{{.Name}}"])?;
        if !networks.lines().any(|name| name == NETWORK) {
            self.engine.docker(&["network", "create", NETWORK])?;
        }
        let there = self.ids()?;
        for service in &self.services {
            for name in Self::containers(service).iter().filter(|name| !there.contains_key(*name)) {
                self.create(service, name)?;
            }
        }
        self.start_all()?;
        self.services.iter().try_for_each(|it| self.wait(it, self.awaited(it)))
    }

    /// Each as soon as what it waits for has come; nobody waits for those that are only before it in the list.
    fn start_all(&self) -> Result<()> {
        let mut waiting: BTreeSet<&str> = self.services.iter().map(|it| it.name.as_str()).collect();
        let mut failed = Ok(());
        let started = wait_until(UP_MAX, || {
            failed = self.start_those_that_can(&mut waiting);
            failed.is_err() || waiting.is_empty()
        });
        failed?;
        ensure!(started, "not started in time: {waiting:?}");
        Ok(())
    }

    fn start_those_that_can<'s>(&'s self, waiting: &mut BTreeSet<&'s str>) -> Result<()> {
        for service in &self.services {
            if waiting.contains(service.name.as_str()) && self.may_start(service, waiting)? {
                for name in Self::containers(service) {
                    self.engine.docker(&["start", &name])?; // one that runs goes on
                }
                waiting.remove(service.name.as_str());
            }
        }
        Ok(())
    }

    fn may_start(&self, service: &Service, waiting: &BTreeSet<&str>) -> Result<bool> {
        for (name, condition) in service.depends_on() {
            let dependency = self.services.iter().find(|service| service.name == name);
            let dependency = dependency.with_context(|| format!("no service {name}"))?;
            if waiting.contains(name) || !self.fulfils(dependency, condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `down`, or with the volumes `down --volumes`.
    pub(crate) fn down(&self, with_volumes: bool) -> Result<()> {
        for service in self.services.iter().rev() {
            for name in Self::containers(service) {
                self.engine.docker(&["stop", &name])?;
                self.engine.docker(&["rm", "--volumes", &name])?;
            }
        }
        let volumes: BTreeSet<String> = self.services.iter().flat_map(Service::volumes).collect();
        let mut removed = volumes.iter().filter(|_| with_volumes);
        removed.try_for_each(|name| self.engine.docker(&["volume", "rm", name]).map(drop))
    }

    fn create(&self, service: &Service, name: &str) -> Result<()> {
        let mut arguments = vec!["create".to_owned(), format!("--name={name}")];
        arguments.extend(service.options(&self.folder)?);
        arguments.extend(self.options.get(&service.name).into_iter().flatten().cloned());
        arguments.push(service.image()?.to_owned());
        arguments.extend(service.command());
        self.engine.docker(&arguments).with_context(|| format!("the container {name}")).map(drop)
    }

    /// An end is waited for where somebody waits for it, and is a failure elsewhere.
    fn awaited(&self, service: &Service) -> &'static str {
        let mut all = self.services.iter().flat_map(Service::depends_on);
        if all.any(|dependency| dependency == (&service.name, COMPLETED)) {
            COMPLETED
        } else {
            RUNNING
        }
    }

    fn wait(&self, service: &Service, condition: &str) -> Result<()> {
        let mut held = Ok(false);
        wait_until(UP_MAX, || {
            held = self.fulfils(service, condition);
            !matches!(held, Ok(false))
        });
        ensure!(held?, "not in time: {}: {condition}", service.name);
        Ok(())
    }

    /// Whether a condition holds of all containers of a service; an error when it never will.
    fn fulfils(&self, service: &Service, condition: &str) -> Result<bool> {
        for name in Self::containers(service) {
            let state = self.state(&name)?;
            let log = || format!("{name}; its log ends with:\n{}", self.engine.log(&name));
            if !holds(&state, condition).with_context(log)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn state(&self, name: &str) -> Result<State> {
        let health = "{{if .State.Health}}{{.State.Health.Status}}{{end}}";
        let format = format!("{{{{.State.Status}}}} {{{{.State.ExitCode}}}} {health}");
        let said = self.engine.docker(&["inspect", "--format", &format, name])?;
        let mut words = said.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Ok(State { status: word(), exit_code: word(), health: word() })
    }
}

/// Whether a condition holds now; an error when it never will.
fn holds(state: &State, condition: &str) -> Result<bool> {
    let ended = state.status == "exited" || state.status == "dead";
    match condition {
        COMPLETED if ended => {
            ensure!(state.exit_code == "0", "exited ({})", state.exit_code);
            Ok(true)
        }
        COMPLETED => Ok(false),
        HEALTHY | RUNNING if ended => bail!("exited ({})", state.exit_code),
        RUNNING if state.health.is_empty() => Ok(state.status == "running"),
        HEALTHY | RUNNING => {
            ensure!(state.health != "unhealthy", "unhealthy");
            Ok(state.health == "healthy")
        }
        other => bail!("a condition that is not understood here: {other}"),
    }
}

fn in_dependency_order(mut waiting: Vec<Service>) -> Result<Vec<Service>> {
    let mut ordered: Vec<Service> = Vec::new();
    while !waiting.is_empty() {
        let there = |name: &str| ordered.iter().any(|service| service.name == name);
        let is_free = |it: &Service| it.depends_on().iter().all(|(name, _)| there(name));
        let (free, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_free);
        let names =
            || rest.iter().map(|it: &Service| it.name.as_str()).collect::<Vec<_>>().join(", ");
        ensure!(
            !free.is_empty(),
            "they wait for each other, or for what is not there: {}",
            names()
        );
        ordered.extend(free);
        waiting = rest;
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose;

    #[test]
    fn whoever_is_waited_for_comes_first() {
        let order = |file: &str| {
            let services = compose::read(file).expect("legible");
            let ordered = in_dependency_order(services)?;
            anyhow::Ok(ordered.into_iter().map(|it| it.name).collect::<Vec<_>>())
        };
        let file = "services: { a: { depends_on: { c: {}, b: {} } }, b: { depends_on: { c: {} } }, c: {} }";
        assert_eq!(order(file).expect("an order"), ["c", "b", "a"]);
        assert!(
            order("services: { a: { depends_on: { b: {} } }, b: { depends_on: { a: {} } } }")
                .is_err()
        );
    }

    #[test]
    fn an_end_is_a_failure_where_nobody_waits_for_it() {
        let ended = |code: &str| State {
            status: "exited".into(),
            exit_code: code.into(),
            health: String::new(),
        };
        assert!(holds(&ended("0"), COMPLETED).expect("well"));
        assert!(holds(&ended("1"), COMPLETED).is_err());
        assert!(holds(&ended("0"), RUNNING).is_err());
        let running = |health: &str| State {
            status: "running".into(),
            exit_code: "0".into(),
            health: health.into(),
        };
        assert!(holds(&running(""), RUNNING).expect("runs"));
        assert!(!holds(&running("starting"), RUNNING).expect("not yet"));
        assert!(!holds(&running("healthy"), COMPLETED).expect("not yet"));
    }
}
