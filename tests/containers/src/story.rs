//! What happens: everything is built and started in the order of the compose file, somebody buys
//! something, and everything is stopped.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use operator::api::Api;
use operator::customer::{Purchase, Wish, buy};
use stores::Home;

use crate::SKIPPED;
use crate::around::Around;
use crate::compose::{self, NETWORK, Service};
use crate::container::{self, Container, Stopped};
use crate::engine::Engine;
use crate::image::Images;
use crate::namespace::Place;

/// The port on which every process serves (deploy/docker/Dockerfile).
const PORT: u16 = 8080;
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
    let ours: Vec<&Service> =
        services.iter().filter(|it| it.program().is_some() && !it.has_profile()).collect();
    build(home, place, &engine, &ours)?;
    engine.docker(&["network", "create", NETWORK])?;

    let one = |name: &str| ours.iter().find(|service| service.name == name).copied();
    println!("init       {}", container::once(&engine, one("init").context("no init")?, &[])?);
    let around = Around::start(home, place, &engine, &services).await?;
    let hosts = around.hosts();
    for migration in ours.iter().filter(|service| service.name.ends_with("-migrate")) {
        container::once(&engine, migration, &hosts)?;
    }
    let servers = start(&engine, &ours, &hosts)?;
    let told = with(&engine, &servers, one("catalogue").context("no catalogue")?).await;
    if told.is_err() {
        servers.iter().for_each(|it| println!("---- the end of {}'s log\n{}", it.name, it.log()));
    }
    around.stop()?;
    told.map(|()| ExitCode::SUCCESS)
}

fn build(home: &Home, place: &Place, engine: &Engine, ours: &[&Service]) -> Result<()> {
    let mut programs: Vec<&str> = ours.iter().filter_map(|service| service.program()).collect();
    programs.sort_unstable();
    programs.dedup();
    let images = Images::prepare(home, place, engine, &programs)?;
    let named = ours.iter().map(|it| Ok((it.image()?, it.program().unwrap_or_default())));
    for (name, program) in named.collect::<Result<BTreeMap<_, _>>>()? {
        images.build(program, name)?;
    }
    println!("images     {}", programs.join(", "));
    Ok(())
}

/// Starts what stays, and waits until all of it is well. There is no edge here (tests/edge has it):
/// its name leads to the gateways.
fn start<'a>(
    engine: &'a Engine<'a>,
    ours: &[&Service],
    hosts: &[String],
) -> Result<Vec<Container<'a>>> {
    let mut servers = Vec::new();
    for service in ours.iter().filter(|service| !service.is_once()) {
        let alias: &[&str] =
            if service.name == "gateway" { &["--network-alias=edge"] } else { &[] };
        for number in 0..service.scale() {
            servers.push(Container::start(engine, service, number, alias, hosts)?);
        }
    }
    for server in &servers {
        server.healthy()?;
        server.is_hardened()?;
    }
    let psp = ours.iter().find(|service| service.name == "psp").context("no psp")?;
    let lax = Container::lax(engine, psp)?;
    ensure!(lax.is_hardened().is_err(), "what is not hardened is not noticed");
    lax.stop()?;
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    println!("running    {}: read-only, user 65532, no capabilities", names.join(", "));
    Ok(servers)
}

async fn with(engine: &Engine<'_>, servers: &[Container<'_>], catalogue: &Service) -> Result<()> {
    println!("catalogue  {}", container::once(engine, catalogue, &[])?);
    let gateway = servers.iter().find(|it| it.name == "gateway").context("no gateway")?;
    let purchase = Purchase {
        wish: Wish::Search("cups".into()),
        quantity: 2,
        card_token: "tok_approve".into(),
    };
    let api = Api::new(&format!("http://{}:{PORT}", gateway.address()?));
    let bought = buy(&api, &purchase).await?;
    ensure!(bought.order.state == "confirmed", "the order was {}", bought.order.state);
    let took = bought.settled.as_millis();
    println!("order      {} confirmed after {took} ms", bought.order.order_id);
    stop_all(engine, servers)
}

/// Each with a connection open that has never said anything, which must not hold it up.
fn stop_all(engine: &Engine, servers: &[Container]) -> Result<()> {
    let mut silent = Vec::new();
    for server in servers {
        silent.push(TcpStream::connect((server.address()?, PORT))?);
    }
    println!(
        "\n{:<12} {:>10}  {:<22} {:>8} {:>10}",
        "container", "image", "memory", "SIGTERM", "exit code"
    );
    let mut wrong = Vec::new();
    // As they depend on each other: nobody loses whom he calls.
    let (gateways, others): (Vec<_>, Vec<_>) =
        servers.iter().partition(|server| server.name.starts_with("gateway"));
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
