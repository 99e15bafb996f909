//! What happens: the shop is brought up as somebody new would, twice, taken down with and without its data, and brought
//! up again; each time somebody buys something, through the edge, at the port that the compose file publishes.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use operator::api::Api;
use operator::customer::{Purchase, Wish, buy};
use stores::{BUS_PROVISIONER, Home};

use crate::SKIPPED;
use crate::compose::{self, Service};
use crate::container::{Container, Stopped};
use crate::engine::Engine;
use crate::image::Images;
use crate::namespace::Place;
use crate::project::Project;
use crate::standin;

/// Somebody who is not root.
const CALLER: u32 = 1000;
/// The port on which a process serves (deploy/docker/Dockerfile), and the one on which the gateway does, over TLS.
const PORT: u16 = 8080;
const GATEWAY_PORT: u16 = 8443;
/// Where README says that the shop is.
const SHOP: &str = "http://127.0.0.1:8080";
/// Promised of every process (docs/adr, `libs/service`): a stop takes 25 s at most.
const STOP_MAX: Duration = Duration::from_secs(25);

/// The whole story.
pub(crate) async fn tell(home: &Home, place: &Place) -> Result<ExitCode> {
    let engine = match Engine::start(place) {
        Ok(engine) => engine,
        Err(error) => {
            println!("{error:#}");
            return Ok(ExitCode::from(SKIPPED));
        }
    };
    let file = fs::read_to_string(home.workspace().join("docker-compose.yml"))?;
    let services = compose::read(&file)?;
    build(home, place, &engine, &services)?;
    let options = standin::make(home, place, &engine, &services)?;
    let project = Project::new(&engine, &services, &files(home, place)?, options)?;
    secrets_without_rust(place, &engine, &services)?;
    let told = up_and_down(&engine, &project).await;
    if told.is_err() {
        let containers = project.services().iter().flat_map(Project::containers);
        containers.for_each(|it| println!("---- the end of {it}'s log\n{}", engine.log(&it)));
    }
    told.map(|()| ExitCode::SUCCESS)
}

fn build(home: &Home, place: &Place, engine: &Engine, services: &[Service]) -> Result<()> {
    let ours = services.iter().filter(|service| !service.has_profile());
    let ours = ours.filter_map(|it| Some((it.program()?, it.image().ok()?)));
    let ours: BTreeMap<&str, &str> = ours.collect();
    let programs: Vec<&str> = ours.keys().copied().collect();
    let images = Images::prepare(home, place, engine, &programs)?;
    ours.iter().try_for_each(|(program, name)| images.build(program, name))?;
    println!("images     {}", programs.join(", "));
    Ok(())
}

/// The files that the compose file mounts. What Debian's nginx does not know yet of the edge's is left out, so that it
/// asks for the gateways' addresses once.
fn files(home: &Home, place: &Place) -> Result<PathBuf> {
    let folder = place.folder.join("files");
    for source in ["deploy/docker/nats.conf", "deploy/edge/nginx.conf", "deploy/edge/gateways.conf"]
    {
        let copy = folder.join(source);
        fs::create_dir_all(copy.parent().unwrap_or(Path::new("/")))?;
        let text = fs::read_to_string(home.workspace().join(source)).context(source)?;
        let known = text.lines().filter(|line| !line.starts_with("resolver "));
        let known: String = known.map(|line| line.replace(" resolve ", " ") + "\n").collect();
        fs::write(copy, known)?;
    }
    Ok(folder)
}

/// As k8s/README.md has it: into a folder of the caller's own, by the image. And whoever finds none is told of it.
fn secrets_without_rust(place: &Place, engine: &Engine, services: &[Service]) -> Result<()> {
    let image = |name: &str| services.iter().find(|it| it.name == name).context("no such")?.image();
    let folder = place.folder.join("secrets");
    fs::create_dir(&folder)?;
    chown(&folder, Some(CALLER), Some(CALLER))?;
    let (user, volume) = (format!("{CALLER}:{CALLER}"), format!("{}:/souk", folder.display()));
    let run = ["run", "--rm", "--user", &user, "--volume", &volume, image("init")?, "secrets"];
    engine.docker(&run)?;
    let made = fs::metadata(folder.join("order/database-urls"))?;
    ensure!(made.uid() == CALLER, "the secrets belong to {}", made.uid());

    let setting = "--env=SOUK_DATABASE_URLS_FILE=/run/souk/database-urls";
    let refused = engine.docker(&["run", "--rm", setting, image("order")?]);
    let said = refused.err().context("order runs without secrets")?.to_string();
    ensure!(said.contains("docker compose run --rm init") && said.lines().count() == 1, "{said}");
    println!("secrets    by the image, for user {CALLER}; without them: {said}");
    Ok(())
}

async fn up_and_down(engine: &Engine<'_>, project: &Project<'_>) -> Result<()> {
    project.up().context("the first up")?;
    opened(engine, "58 of them new").await.context("after the first up")?;
    let before = project.ids()?;

    project.up().context("up again")?;
    ensure!(project.ids()? == before, "the containers of before are those of now");
    opened(engine, "0 of them new").await.context("after up again")?;

    project.down(false).context("down")?;
    project.up().context("up after down")?;
    opened(engine, "0 of them new").await.context("up after down: the data is still there")?;

    project.down(true).context("down with volumes")?;
    project.up().context("up after down with volumes")?;
    opened(engine, "58 of them new").await.context("up after down with volumes")?;
    hardened(engine, project)?;
    stop_all(engine, project)
}

/// There is something to sell, and it is sold.
async fn opened(engine: &Engine<'_>, catalogue: &str) -> Result<()> {
    let said = engine.log("catalogue");
    ensure!(said.lines().last().is_some_and(|line| line.contains(catalogue)), "catalogue: {said}");
    let purchase = Purchase {
        wish: Wish::Search("cups".into()),
        quantity: 2,
        card_token: "tok_approve".into(),
    };
    let bought = buy(&Api::new(SHOP), &purchase).await?;
    ensure!(bought.order.state == "confirmed", "the order was {}", bought.order.state);
    let took = bought.settled.as_millis();
    println!("order      {} confirmed after {took} ms; {catalogue}", bought.order.order_id);
    Ok(())
}

fn servers<'a>(engine: &'a Engine<'a>, project: &Project) -> Vec<(Container<'a>, bool)> {
    let staying = project.services().iter().filter(|service| !service.is_once());
    let named = staying.flat_map(|it| {
        Project::containers(it).into_iter().map(|name| (name, it.program().is_some()))
    });
    named.map(|(name, ours)| (Container::of(engine, name), ours)).collect()
}

fn hardened(engine: &Engine, project: &Project) -> Result<()> {
    let servers = servers(engine, project);
    servers.iter().try_for_each(|(server, _)| server.is_hardened())?;
    let psp = project.services().iter().find(|service| service.name == "psp").context("no psp")?;
    let lax = Container::lax(engine, psp)?;
    ensure!(lax.is_hardened().is_err(), "what is not hardened is not noticed");
    lax.stop()?;
    let names: Vec<&str> = servers.iter().map(|(server, _)| server.name.as_str()).collect();
    println!("running    {}: read-only, user 65532, no capabilities", names.join(", "));
    Ok(())
}

/// Ours, each with a connection open that has never said anything, which must not hold it up.
fn stop_all(engine: &Engine, project: &Project) -> Result<()> {
    let servers = servers(engine, project);
    let ours = servers.iter().filter(|(_, ours)| *ours).map(|(server, _)| server);
    let mut silent = Vec::new();
    // The provisioner serves nothing.
    for server in ours.clone().filter(|server| server.name != BUS_PROVISIONER) {
        let port = if server.name.starts_with("gateway") { GATEWAY_PORT } else { PORT };
        silent.push(TcpStream::connect((server.address()?, port))?);
    }
    println!(
        "\n{:<12} {:>10}  {:<22} {:>8} {:>10}",
        "container", "image", "memory", "SIGTERM", "exit code"
    );
    let mut wrong = Vec::new();
    // As they depend on each other: nobody loses whom he calls.
    let (gateways, others): (Vec<_>, Vec<_>) =
        ours.partition(|server| server.name.starts_with("gateway"));
    for server in gateways.into_iter().chain(others) {
        let (size, memory) = (size(engine, server)?, server.memory()?);
        let Stopped { took, code } = server.stop()?;
        println!(
            "{:<12} {size:>7.1} MB  {memory:<22} {:>5} ms {code:>10}",
            server.name,
            took.as_millis()
        );
        if code != "0" || took > STOP_MAX {
            wrong.push(server.name.as_str());
        }
    }
    ensure!(wrong.is_empty(), "not drained: {}", wrong.join(", "));
    Ok(())
}

fn size(engine: &Engine, server: &Container) -> Result<f64> {
    let image = engine.docker(&["inspect", "--format", "{{.Image}}", &server.name])?;
    let bytes: f64 =
        engine.docker(&["image", "inspect", "--format", "{{.Size}}", &image])?.parse()?;
    Ok(bytes / 1e6)
}
