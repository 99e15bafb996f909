//! What the containers stand on: the private stores, with the databases and the configuration that the
//! `init` container has written, under the names that the containers know.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use operator::process::wait_until;
use stores::{Home, Options, Program, Psql, Stores, Tools};

use crate::compose::{NETWORK, Service};
use crate::engine::Engine;
use crate::namespace::Place;
use crate::proxy;

const START_MAX: Duration = Duration::from_secs(15);

/// The stores; they end with the namespace at the latest.
pub(crate) struct Around {
    stores: Stores,
    nats: Child,
    /// The host as containers see it.
    pub(crate) host: IpAddr,
}

impl Around {
    pub(crate) async fn start(
        home: &Home,
        place: &Place,
        engine: &Engine<'_>,
        services: &[Service],
    ) -> Result<Self> {
        let format = "{{(index .IPAM.Config 0).Gateway}}";
        let host = engine.docker(&["network", "inspect", "--format", format, NETWORK])?.parse()?;
        let tools = Tools::find(home);
        let stores = Stores::start(&place.folder.join("stores"), &tools, &Options::default())?;
        let url = stores.endpoints()?.postgres_url;
        let databases = fs::read_to_string(volume(engine, "postgres")?.join("databases.sql"))?;
        Psql::of(&tools).context("no psql")?.run(&url, &databases)?;
        let postgres = url.rsplit('@').next().and_then(|rest| rest.split('/').next());
        let postgres: SocketAddr = postgres.context("no address in the URL")?.parse()?;
        proxy::pass((host, 5432).into(), postgres).await?;
        let nats = nats(home, place, engine, tools.nats.as_ref().context("no nats-server")?)?;
        let around = Self { stores, nats, host };
        redis(place, engine, tools.redis.as_ref().context("no redis-server")?, services)?;
        Ok(around)
    }

    /// For containers: where the names of stores lead.
    pub(crate) fn hosts(&self) -> [String; 2] {
        ["postgres", "nats"].map(|name| format!("--add-host={name}:{}", self.host))
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        let _ = self.nats.kill();
        let _ = self.nats.wait();
        Ok(self.stores.stop()?)
    }
}

/// Where the engine keeps a volume.
fn volume(engine: &Engine, name: &str) -> Result<PathBuf> {
    Ok(engine.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", name])?.into())
}

/// The shipped configuration, with the password that `init` made.
fn nats(home: &Home, place: &Place, engine: &Engine, program: &Program) -> Result<Child> {
    let folder = place.folder.join("nats");
    fs::create_dir_all(&folder)?;
    std::os::unix::fs::symlink(volume(engine, "nats")?, folder.join("secret"))?;
    let shipped = fs::read_to_string(home.workspace().join("deploy/docker/nats.conf"))?;
    ensure!(shipped.contains("store_dir: /data"), "nats.conf keeps its data elsewhere");
    let here = format!("store_dir: \"{}\"", folder.join("data").display());
    let config = folder.join("nats.conf");
    fs::write(&config, shipped.replace("store_dir: /data", &here))?;
    let mut command = command(program);
    let nats = command.arg("--config").arg(&config).spawn().context("nats-server")?;
    ensure!(answers(4222), "nats-server does not come up with {}", config.display());
    Ok(nats)
}

/// The shipped arguments, for as long as a password check takes: nothing of the shop needs Redis yet.
fn redis(place: &Place, engine: &Engine, program: &Program, services: &[Service]) -> Result<()> {
    let service = services.iter().find(|service| service.name == "redis").context("no redis")?;
    let secrets = volume(engine, "redis")?;
    let mounted = |argument: String| argument.replace("/run/souk", &secrets.to_string_lossy());
    let arguments = service.command().into_iter().skip(1).map(mounted);
    let mut redis = command(program).args(arguments).current_dir(&place.folder).spawn()?;
    let password = fs::read_to_string(secrets.join("password"))?;
    let answered = wait_until(START_MAX, || ping(&password).is_ok_and(|answer| answer));
    redis.kill()?;
    redis.wait()?;
    ensure!(answered, "redis-server does not answer to the password that init made");
    Ok(())
}

fn ping(password: &str) -> Result<bool> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect("127.0.0.1:6379")?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(stream, "PING\r\nAUTH {password}\r\nPING\r\nQUIT\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said.starts_with("-NOAUTH") && said.contains("+PONG"))
}

fn command(program: &Program) -> Command {
    let mut command = Command::new(&program.path);
    if let Ok(libraries) = std::env::join_paths(&program.libraries) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn answers(port: u16) -> bool {
    wait_until(START_MAX, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
}
