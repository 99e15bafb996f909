//! Options of `bench`: what is measured, and against which yardstick.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

use super::load::duration;

/// Options of `bench`.
#[derive(Debug, Clone, Args)]
#[command(disable_help_subcommand = true)]
pub struct Bench {
    /// What is measured.
    #[command(subcommand)]
    pub what: Measured,
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Measured {
    /// Settled orders a second, against the durable commits a second of the same PostgreSQL
    ///
    /// A shop of its own, built for release: one of each process, a database for each context, mTLS, fsync,
    /// 1 % of the traces. Carts are filled and tokens signed before anything is measured. Then pgbench commits
    /// single rows with 32 clients; customers check out as fast as the shop settles their orders; other
    /// customers check out at half of that rate; pgbench commits again; the books are audited.
    Orders(Orders),
    /// What becomes of orders under a payment provider that is slower than the shop
    ///
    /// A shop of its own, as for `orders`, whose provider takes --delay for each charge. Customers check out
    /// --rate times a second. When all has ended it is counted how many orders were paid in time, and for how
    /// many a charge was sent although they were cancelled already: there must be none.
    Provider(Provider),
    /// What a look at the catalogue costs: without memories, with product's, and with the gateway's as well
    ///
    /// Three shops of their own, one after the other, as for `orders`. Customers look around among --products
    /// products by Zipf's law, --rate times a second (lists, products and searches, 1 to 10 to 1); a table has what each process used for a request.
    /// Then the cache alone is asked for 50,000 products, with more and more bytes.
    Cache(CacheBench),
    /// How often the database is read when a product changes that everybody wants: without memories, and with
    ///
    /// Two shops of their own, one after the other, as for `orders`, with two gateways and two copies of product. After each of
    /// --changes changes of its price --customers ask for it at one moment.
    Stampede(StampedeBench),
    /// What a product that is asked for again and again costs, for a bare axum handler that answers the same bytes
    ///
    /// Three shops of their own, one after the other, as for `orders`: the first shows it from the gateway's memory, the second from
    /// product's, by gRPC, the third from product's in the gateway's process. A bare handler in a process of its own is asked in turn with them, --rate times a second.
    Hot(HotBench),
    /// Whether a look at the catalogue costs more when the catalogue is larger
    ///
    /// A shop of its own, as for `orders`, without memories. It gets ten times as many products again and again, and each time
    /// two customers ask for products, pages of a category, and searches with few hits and with many.
    Catalogue(CatalogueBench),
    /// What distribution costs: the shop, the same crates in one process, and in one with payment moved out
    ///
    /// Six shops of their own, one after the other, as for `orders`: of each kind one bears the mix of `load`, --rate requests a
    /// second, and one as many orders as it settles. In one process the services call each other without a network; events and
    /// databases are the same.
    Monolith(MonolithBench),
    /// How old what is shown is, while prices change
    ///
    /// A shop of its own, as for `orders`, with two gateways and two copies of product. Staff change --changes prices a
    /// second through one gateway; customers look --rate times a second through both, at products and lists, half of them at what
    /// has changed in the last five seconds. It prints for how long what was shown had been replaced; exit code 1
    /// when that was more than a second.
    Freshness(FreshnessBench),
}

/// Options of `bench freshness`.
#[derive(Debug, Clone, Args)]
pub struct FreshnessBench {
    /// Looks a second
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub rate: u32,
    /// Changes a second
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub changes: u32,
    /// How long
    #[arg(long, value_name = "D", default_value = "30s", value_parser = duration)]
    pub duration: Duration,
    /// Products that are looked at and changed
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    pub products: u32,
}

/// Options of `bench cache`.
#[derive(Debug, Clone, Args)]
pub struct CacheBench {
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub rate: u32,
    /// How long each shop is measured
    #[arg(long, value_name = "D", default_value = "8s", value_parser = duration)]
    pub duration: Duration,
    /// Products that are looked at
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub products: u32,
}

/// Options of `bench stampede`.
#[derive(Debug, Clone, Args)]
pub struct StampedeBench {
    /// Customers who ask at one moment. Of many more some are refused, since gateways limit what they work at
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub customers: u32,
    /// How often the price changes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub changes: u32,
}

/// Options of `bench hot`.
#[derive(Debug, Clone, Args)]
pub struct HotBench {
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(16..=50_000))]
    pub rate: u32,
    /// How long each of both is measured, three times in turn
    #[arg(long, value_name = "D", default_value = "4s", value_parser = duration)]
    pub duration: Duration,
}

/// Options of `bench catalogue`.
#[derive(Debug, Clone, Args)]
pub struct CatalogueBench {
    /// Products in the end, at most
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub products: u32,
    /// How long each kind of request is measured
    #[arg(long, value_name = "D", default_value = "3s", value_parser = duration)]
    pub duration: Duration,
}

/// Options of `bench monolith`.
#[derive(Debug, Clone, Args)]
pub struct MonolithBench {
    /// Requests of the mix a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub rate: u32,
    /// How long each shop is measured with the mix, at full load, and at half of it
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Customers with a filled cart, each of whom buys once
    #[arg(long, value_name = "N", default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(30..=500_000))]
    pub carts: u32,
}

/// Options of `bench provider`.
#[derive(Debug, Clone, Args)]
pub struct Provider {
    /// Checkouts a second
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rate: u32,
    /// How long customers check out
    #[arg(long, value_name = "D", default_value = "1m", value_parser = duration)]
    pub duration: Duration,
    /// How long the provider takes for a charge, less than the 2s that payment waits for an answer
    #[arg(long, value_name = "D", default_value = "1s", value_parser = delay)]
    pub delay: Duration,
}

/// Options of `bench orders`.
#[derive(Debug, Clone, Args)]
pub struct Orders {
    /// How long the shop is measured, at full load and then at half of it
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How many orders are under way at full load: sent, and not settled
    #[arg(long, value_name = "N", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub under_way: u32,
    /// How many of these wait for the answer to their checkout at most: what is beyond the shop's places for them would be
    /// turned away, and paid for by those that are not
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub unanswered: u32,
    /// Customers with a filled cart, each of whom buys once: two thirds of them at full load
    #[arg(long, value_name = "N", default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(30..=500_000))]
    pub carts: u32,
    /// Lines in a cart at most, of one piece each: every number of them is as frequent
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub lines: u32,
    /// How long pgbench runs, before and after
    #[arg(long, value_name = "D", default_value = "5s", value_parser = duration)]
    pub yardstick: Duration,
    /// Folder for report.txt and report.json [default: a new one in .souk/bench]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The report.json of an earlier run, to be printed beside this one
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
}

/// A provider that never answers in time leaves every payment open for ever.
fn delay(text: &str) -> Result<Duration, String> {
    const ANSWER_MAX: Duration = Duration::from_secs(2);
    match duration(text)? {
        short if short < ANSWER_MAX => Ok(short),
        _ => Err("expected less than 2s: payment waits no longer for an answer".to_owned()),
    }
}
