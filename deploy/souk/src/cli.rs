//! All verbs of `cargo souk`. Both steps read their arguments with this.

mod bench;
mod chaos;
mod external;
mod fault;
mod images;
mod lab;
mod load;
mod trace;

pub use bench::{
    Bench, CacheBench, CatalogueBench, FreshnessBench, HotBench, Measured, MonolithBench, Orders,
    Provider, StampedeBench,
};
pub use chaos::{Chaos, Fault};
pub use external::StoreUrls;
pub use fault::{FAULT_SECONDS_MAX, InjectFault, LiveFault};
pub use images::Images;
pub use lab::{EXPERIMENTS, Lab};
pub use load::{Class, Load, Scenario, Slo, Steps};
pub use trace::TraceOf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// The exit code for a command line that makes no sense (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// The processes of the shop that may run more than once.
pub const SERVICES: [&str; 6] = ["gateway", "product", "user", "cart", "order", "payment"];

/// Everything that keeps a log.
const LOGGED: [&str; 12] = [
    "gateway",
    "product",
    "user",
    "cart",
    "order",
    "payment",
    "provisioner",
    "psp",
    "console",
    "postgres",
    "redis",
    "nats",
];

/// More of one service than this is a mistake on one machine.
const REPLICAS_MAX: u16 = 8;

/// A shop of microservices on this machine: its stores, its services, an order.
#[derive(Debug, Parser)]
#[command(name = "cargo-souk", bin_name = "cargo souk", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `cargo souk` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build and start everything, place an order and show how it settled
    Up(Up),
    /// Stop everything
    Down(Down),
    /// Show what runs, where, and how to talk to it
    Status,
    /// Show the log of one process
    Logs(Logs),
    /// Place one order like a customer and draw its timeline and trace
    Order(Order),
    /// Draw the trace of an order, across services and the bus
    Trace(TraceOf),
    /// Import a catalogue (UCI "Online Retail" format)
    Import(Import),
    /// Events on their way out: status, or replay --since TIME
    #[command(disable_help_flag = true)]
    Outbox(Passed),
    /// Events that were given up on: list, show ID, or redrive ID|--all
    #[command(disable_help_flag = true)]
    DeadLetters(Passed),
    /// Break the shop that is up, for a minute at most
    Fault(InjectFault),
    /// Put the shop under load and report how it bears it
    Load(Load),
    /// Break the shop on purpose while customers buy, and audit what is left
    Chaos(Chaos),
    /// Measure the shop against a yardstick of this machine
    Bench(Bench),
    /// Run an experiment of the lab book, docs/scaling.md
    Lab(Lab),
    /// Run the checks and the tests
    Test(Test),
    /// Say what was found on this machine and what would be done about the rest
    Doctor,
    /// Fetch the stores' programs into .souk/tools, to be ready for being offline
    ///
    /// Only what this machine lacks is fetched. With SOUK_HIDE_SYSTEM_TOOLS=1 in the environment (here and
    /// for every other verb) the machine's own servers do not count.
    Fetch(Fetch),
    /// Write or check the queries' metadata (.sqlx) against real databases
    Sqlx(Sqlx),
    /// Build the container images, and load or push them
    Images(Images),
}

/// What the services' own commands of the same name are given.
#[derive(Debug, Args)]
pub struct Passed {
    /// See --help
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub arguments: Vec<String>,
}

/// Options of `up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Return when the order has settled (the default without a terminal)
    #[arg(long)]
    pub detach: bool,
    /// The port of the shop's HTTP API, on 127.0.0.1
    #[arg(long, value_name = "P", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// How many of each service, for example order=2,gateway=2
    #[arg(long, value_name = "SERVICE=N,…", default_value = "", hide_default_value = true)]
    pub replicas: Replicas,
    /// How many databases hold the carts, and how many the orders
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub shards: u16,
    /// Stores that already run
    #[command(flatten)]
    pub stores: StoreUrls,
    /// Install missing stores with the system's package manager
    #[arg(long)]
    pub system: bool,
    /// Build the release profile, to measure it: later built, sooner to run
    #[arg(long)]
    pub release: bool,
}

/// Options of `down`.
#[derive(Debug, Args)]
pub struct Down {
    /// Also remove all data, certificates and logs
    #[arg(long)]
    pub wipe: bool,
}

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Whose log
    #[arg(value_parser = PossibleValuesParser::new(LOGGED))]
    pub service: String,
    /// Go on showing what is written
    #[arg(short, long)]
    pub follow: bool,
}

/// Options of `order`.
#[derive(Debug, Args)]
pub struct Order {
    /// What to buy; without it, something from the catalogue
    #[arg(long, value_name = "SKU")]
    pub product: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub quantity: u32,
    /// How the payment provider behaves towards the card
    #[arg(long, value_enum, default_value_t = Card::Approve)]
    pub card: Card,
}

/// How the payment provider behaves towards a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Card {
    /// Charges it
    Approve,
    /// Refuses it
    Decline,
    /// Takes the request and answers late
    Hang,
    /// Charges it and loses the answer
    Lost,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A .csv or .csv.gz file
    #[arg(value_parser = readable_file)]
    pub file: PathBuf,
}

/// Options of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Also the suites whose judges come from outside: they are fetched into .souk/tools (about 450 MB, or 1,100 without Chromium and Node.js)
    #[arg(long)]
    pub all: bool,
}

/// Options of `fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Also what `test --all` needs: kubectl, validators written in Python, its gRPC, the newest nats-server, and Chromium and Node.js where there are none (about 450 MB, or 1,100)
    #[arg(long)]
    pub all: bool,
}

/// Options of `sqlx`.
#[derive(Debug, Args)]
pub struct Sqlx {
    /// Change nothing; fail if something is out of date
    #[arg(long)]
    pub check: bool,
}

/// How many of each service; one of those that are not named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas(BTreeMap<&'static str, u16>);

impl Replicas {
    /// How many of this service.
    pub fn of(&self, service: &str) -> u16 {
        self.0.get(service).copied().unwrap_or(1)
    }
}

impl FromStr for Replicas {
    type Err = String;

    fn from_str(text: &str) -> Result<Replicas, String> {
        let mut replicas = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, count) = part.split_once('=').ok_or(format!("{part:?} is not SERVICE=N"))?;
            let known = SERVICES.into_iter().find(|service| *service == name);
            let service = known.ok_or_else(|| {
                format!("no service {name:?} (there are {})", SERVICES.join(", "))
            })?;
            let count = count.parse().ok().filter(|count| (1..=REPLICAS_MAX).contains(count));
            let count = count
                .ok_or_else(|| format!("{service} wants a number from 1 to {REPLICAS_MAX}"))?;
            if replicas.insert(service, count).is_some() {
                return Err(format!("{service} is named twice"));
            }
        }
        Ok(Replicas(replicas))
    }
}

fn readable_file(path: &str) -> Result<PathBuf, String> {
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_file() => Ok(PathBuf::from(path)),
        Ok(_) => Err("not a file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Cli {
    /// Reads the command line of this process. `Err` is the exit code when there is nothing more to do:
    /// 0 after showing help, [`EXIT_USAGE`] after one line about what was wrong.
    pub fn read() -> Result<Cli, ExitCode> {
        Cli::read_from(std::env::args_os()).map_err(|refusal| match refusal {
            Refusal::Help(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Refusal::Usage(text) => {
                eprintln!("{text}");
                ExitCode::from(EXIT_USAGE)
            }
        })
    }

    fn read_from<I: IntoIterator<Item: Into<OsString> + Clone>>(
        arguments: I,
    ) -> Result<Cli, Refusal> {
        let cli = Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error.to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Refusal::Usage(error.to_string().trim_end().to_owned())
            }
            _ => Refusal::Usage(one_line(&error.to_string())),
        })?;
        match &cli.verb {
            Verb::Up(up) => up.stores.check().map_err(Refusal::Usage)?,
            Verb::Fault(fault) => fault.check().map_err(Refusal::Usage)?,
            Verb::Chaos(chaos) => chaos.check().map_err(Refusal::Usage)?,
            _ => {}
        }
        Ok(cli)
    }
}

/// Why there is no command line to act on.
#[derive(Debug)]
enum Refusal {
    Help(String),
    Usage(String),
}

/// The message without the usage and the hints that follow it after an empty line.
pub fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|line| !line.is_empty());
    format!("{} (--help tells more)", lines.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &[&str]) -> String {
        let all = ["cargo souk"].iter().chain(arguments);
        match Cli::read_from(all) {
            Err(Refusal::Usage(line)) => line,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    #[test]
    fn the_definitions_agree_with_each_other() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn replicas_are_read_and_the_others_are_one() {
        let replicas: Replicas = "order=2,gateway=3".parse().expect("valid");
        assert_eq!((replicas.of("order"), replicas.of("gateway"), replicas.of("cart")), (2, 3, 1));
        for bad in ["order", "order=0", "order=9", "order=x", "psp=2", "order=1,order=2"] {
            assert!(bad.parse::<Replicas>().is_err(), "{bad}");
        }
    }

    #[test]
    fn bad_input_is_refused_with_one_line_that_names_it() {
        for (arguments, expected) in [
            (vec!["up", "--port", "0"], "'0' for '--port <P>'"),
            (vec!["up", "--port", "http"], "'http' for '--port <P>'"),
            (vec!["up", "--replicas", "basket=2"], "no service \"basket\""),
            (vec!["up", "--shards", "17"], "'17' for '--shards <N>'"),
            (vec!["up", "--redis-url", "http://x"], "redis://"),
            (vec!["order", "--quantity", "0"], "'0' for '--quantity <N>'"),
            (vec!["order", "--card", "gold"], "approve, decline, hang, lost"),
            (vec!["trace", "7"], "not the id of an order"),
            (vec!["trace", "01a22eca-180b-72d5-9762-402aacc49f8g"], "not the id of an order"),
            (vec!["trace"], "<ORDER>"),
            (vec!["import", "/no/such/file.csv"], "No such file"),
            (vec!["import", "/"], "not a file"),
            (vec!["import"], "<FILE>"),
            (vec!["logs", "basket"], "'basket'"),
            (vec!["load"], "--rate <N>"),
            (vec!["load", "--rate", "0"], "'0' for '--rate <N>'"),
            (vec!["load", "--rate", "9", "--steps", "1..2"], "'--steps <A..B>'"),
            (vec!["load", "--steps", "9..1"], "the smaller one first"),
            (vec!["load", "--rate", "9", "--slo", "p99=5"], "such as 500ms"),
            (vec!["load", "--rate", "9", "--target", "https://x"], "http://host:port"),
            (vec!["load", "--rate", "9", "--scenario", "riot"], "hot-product"),
            (vec!["chaos", "--minutes", "0"], "'0' for '--minutes <M>'"),
            (vec!["chaos", "--faults", "kill,flood"], "'flood' for '--faults <LIST>'"),
            (vec!["bench", "carts"], "'carts'"),
            (vec!["bench", "freshness", "--products", "7"], "'7' for '--products <N>'"),
            (vec!["lab", "8"], "'8' for '[N]'"),
            (vec!["bench", "provider", "--delay", "2s"], "less than 2s"),
            (vec!["bench", "orders", "--carts", "3"], "'3' for '--carts <N>'"),
            (vec!["bench", "orders", "--duration", "5"], "such as 500ms"),
            (vec!["chaos", "--faults", "kill,nats-leader"], "nats-leader needs --nats 3"),
            (vec!["chaos", "--nats", "2"], "'2' for '--nats <N>'"),
            (vec!["images", "--push", "acme"], "names no registry"),
            (vec!["images", "--platform", "linux/arm64"], "--push <REGISTRY>"),
            (vec!["fault", "flood"], "'flood'"),
            (vec!["fault", "kill"], "kill needs the name"),
            (vec!["fault", "redis-flush", "nats"], "happens to nothing like \"nats\""),
            (vec!["fault", "pause", "order", "--for", "61"], "'61' for '--for <SECONDS>'"),
            (vec!["dance"], "'dance'"),
        ] {
            let line = refusal(&arguments);
            assert!(line.contains(expected), "{arguments:?}: {line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_refused_url_is_not_repeated_with_its_password() {
        let line = refusal(&["up", "--postgres-url", "mysql://me:secret@host"]);
        assert!(line.contains("postgres://") && !line.contains("secret"), "{line}");
    }
}
