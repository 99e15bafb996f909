//! A shop whose services are built with crash points, and how one of them dies.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use audit::Places;
use e2e::shopper::{SETTLED, Staff};
use e2e::shops;
use operator::shop::programs_beside_this;
use operator::{Shop, Signal};
use stores::{Home, Psql, Tools};
use testkit::eventually;

use crate::cases::Case;

/// The folder of this shop.
pub const NAME: &str = "crashes";
const SERVICES: [&str; 5] = ["cart", "order", "payment", "product", "user"];
const VARIABLE: &str = "SOUK_CRASH_AT";
/// A point that nobody has passed by now will not be passed.
const REACHED: Duration = Duration::from_secs(30);

/// The shop, and what every action needs.
pub struct World {
    pub shop: Shop,
    pub staff: Staff,
    pub product: String,
}

impl World {
    pub async fn open() -> Result<Self> {
        let programs = programs()?;
        let shop =
            shops::open(NAME, |options| {
                options.programs = programs;
                options.restart = false;
                // So long, twice and a second, a payment is left alone whose worker died.
                let timeout = ("payment".into(), "SOUK_PSP_TIMEOUT".into(), "1s".into());
                options.environment.push(timeout);
                // A hundred starts: none opens more connections than it will use.
                options.environment.extend(SERVICES.map(|service| {
                    (service.into(), "SOUK_DATABASE_CONNECTIONS".into(), "3".into())
                }));
            });
        let shop = shop.await?;
        let staff = Staff::new(&shop).await?;
        let product = staff.product(10_000).await?;
        Ok(Self { shop, staff, product })
    }

    /// Waits until nothing is under way.
    pub async fn quiet(&self) -> Result<()> {
        let quiet = audit::until_quiet(&Places::of(&self.shop), SETTLED).await?;
        ensure!(quiet, "the shop does not come to rest within {SETTLED:?}");
        Ok(())
    }

    /// What the databases of a service answer together.
    pub fn sql(&self, service: &str, statement: &str) -> Result<String> {
        let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
        let urls = self.shop.database_urls(service).iter();
        let answers = urls.map(|url| Ok(psql.run(url, statement)?));
        Ok(answers.collect::<Result<String>>()?.trim().to_owned())
    }

    /// Waits until a service has acknowledged all that another one told, what came twice included.
    pub async fn has_heard(&self, service: &str, source: &str) -> Result<()> {
        let lag = format!("souk_consumer_lag{{consumer=\"{service}-from-{source}\"}} 0");
        until("nothing unheard", async || {
            self.shop.metrics(service).await.ok()?.lines().find(|line| *line == lag).map(drop)
        })
        .await;
        Ok(())
    }

    /// Ends a service and starts it with these settings.
    pub async fn restart(&self, service: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.shop.tell(service, settings)?;
        self.shop.kill(service, Signal::KILL)?;
        self.shop.gone(service, REACHED).await?;
        self.shop.revive(service).await
    }

    /// From now on the service dies at the point.
    pub async fn arm(&self, case: Case) -> Result<Armed<'_>> {
        let read = self.log(case.service)?.len();
        let armed = Armed { world: self, case, read };
        match self.restart(case.service, &[(VARIABLE, case.point.name())]).await {
            Err(error) if !armed.crashed()? => Err(error),
            _ => Ok(armed), // what had waited for it may have led it there at once
        }
    }

    fn log(&self, service: &str) -> Result<String> {
        let bytes = std::fs::read(self.shop.log_of(service))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A service that is to die.
pub struct Armed<'a> {
    world: &'a World,
    case: Case,
    /// Of its log, before.
    read: usize,
}

impl Armed<'_> {
    /// Waits until it has died of the point, and starts it without.
    pub async fn dies(&self) -> Result<()> {
        let Case { service, point, .. } = self.case;
        let gone = self.world.shop.gone(service, REACHED).await;
        gone.with_context(|| format!("{} was not reached", point.name()))?;
        ensure!(self.crashed()?, "it died of something else");
        self.world.shop.tell(service, &[])?;
        self.world.shop.revive(service).await
    }

    fn crashed(&self) -> Result<bool> {
        let last_words = format!("crashed at {}\n", self.case.point.name());
        Ok(self.world.log(self.case.service)?[self.read..].contains(&last_words))
    }
}

/// A folder in which the services have their crash points and the others are what they are.
fn programs() -> Result<PathBuf> {
    let built = programs_beside_this()?;
    let folder = built.join(NAME);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    for service in SERVICES {
        ensure!(!knows_crash_points(&built.join(service))?, "{service} is built with crash points");
        symlink(built.join("crashing-shop"), folder.join(service))?;
    }
    let missing = "crashing-shop is not built: CONTRIBUTING.md says how";
    ensure!(knows_crash_points(&built.join("crashing-shop")).context(missing)?, "{missing}");
    for other in ["gateway", "provisioner", "psp"] {
        symlink(built.join(other), folder.join(other))?;
    }
    Ok(folder)
}

/// Whether the variable's name is in a program. Nothing else of ours has it.
fn knows_crash_points(program: &std::path::Path) -> Result<bool> {
    let grep = Command::new("grep").args(["-q", "-a", "-F", VARIABLE]).arg(program).status()?;
    match grep.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => anyhow::bail!("grep {}: {grep}", program.display()),
    }
}

/// Asks until it is so.
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually(what, SETTLED, ask).await
}
