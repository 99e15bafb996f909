//! `cargo souk bench hot`: what it costs to show one product again and again, for a bare axum handler that answers the same
//! bytes. Both are measured in turn, in the same run.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Method, Uri};
use operator::api::Api;
use operator::layout::Layout;
use operator::{Options, running};
use souk::cli::HotBench;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::machine::{Group, groups, snapshot};
use crate::monolith::together;
use crate::shop::Target;
use crate::showing::turn_off;
use crate::table::Table;
use crate::temporary_shop::with_shop;
use crate::wire::{Wire, on_this_thread, request};
use crate::{say, seed};

/// The row of the chart.
const RATIO: &str = "for one of the bare handler";
const ROUNDS: u32 = 3;
const WORKERS: u32 = 16;
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// What is asked for, what is turned off, and which services run in the gateway's process.
type Variant = (&'static str, &'static str, Off, &'static [&'static str]);
type Off = &'static [(&'static str, &'static str)];

const VARIANTS: [Variant; 4] = [
    ("rendered, in the gateway", JSON, &[], &[]),
    ("in product, by gRPC", JSON, PAGES, &[]),
    ("in product, in one process", JSON, PAGES, &["product"]),
    ("as a page", "/products", &[], &[]),
];
const JSON: &str = "/v1/products";
const PAGES: &[(&str, &str)] = &[("gateway", "SOUK_PRODUCT_PAGES_BYTES")];

/// Core-microseconds for a request.
struct Cost {
    bare: f64,
    gateway: f64,
    product: f64,
}

/// Measures the variants in `folder`, prints the table and draws a chart.
///
/// # Errors
/// When a shop does not come up, or does not show the product each time.
pub(crate) async fn in_turn(options: &HotBench, folder: &Path, reports_in: &Path) -> Result<()> {
    std::fs::create_dir_all(reports_in)?;
    let mut costs = Vec::new();
    for (name, asked_for, off, inside) in VARIANTS {
        say(&format!("---- {name}"));
        let (options, file) = (options.clone(), reports_in.join("product.json"));
        let change = |shop: &mut Options| {
            turn_off(shop, off);
            together(shop, inside);
        };
        let measure = move |layout: &Layout, _: &str| measure(&options, layout, asked_for, &file);
        costs.push(with_shop(folder, change, measure).await?);
    }
    let mut table = Table::new("core-us for a request", VARIANTS.map(|it| it.0));
    let mut add = |name: &str, decimals, of: fn(&Cost) -> f64| {
        table.add(name, decimals, costs.iter().map(|cost| Some(of(cost))));
    };
    add("  bare axum handler", 1, |cost| cost.bare);
    add("  gateway", 1, |cost| cost.gateway);
    add("  product", 1, |cost| cost.product);
    add(RATIO, 2, |cost| (cost.gateway + cost.product) / cost.bare);
    table.chart(
        RATIO,
        "A product that is asked for again and again, in bare axum handlers",
        &reports_in.join("ratio.svg"),
    )?;
    say(&format!("\n{table}"));
    Ok(())
}

fn measure(options: &HotBench, layout: &Layout, asked_for: &str, file: &Path) -> Result<Cost> {
    on_this_thread(measured(options, layout, asked_for, file))
}

async fn measured(
    options: &HotBench,
    layout: &Layout,
    asked_for: &str,
    file: &Path,
) -> Result<Cost> {
    let state = running::at(layout)?;
    let shop = groups(&state, "bench");
    let target = Target::of(layout, state)?;
    let api = Api::new(&target.url());
    let products = seed::products(&api, &target, 1).await?;
    let product = products.first().context("no product")?;
    let at = |path: &str| format!("{path}/{product}").parse::<Uri>();
    std::fs::write(file, &api.get(&format!("{JSON}/{product}"), None).await?.body)?;
    let bare = Bare::start(file)?;
    let handler = Asked {
        uri: at(JSON)?, // it answers this, and always the same
        wire: Wire::to(std::slice::from_ref(&bare.address))?,
        groups: vec![Group::process("bare", bare.child.id())],
    };
    let gateway = Asked { uri: at(asked_for)?, wire: Wire::to(&target.gateways)?, groups: shop };
    for asked in [&handler, &gateway] {
        send(&asked.wire, &asked.uri, options.rate, WARM_UP).await?;
    }
    let mut cost = Cost { bare: 0.0, gateway: 0.0, product: 0.0 };
    for _ in 0..ROUNDS {
        let [bare] = handler.cost(options, ["bare"]).await?;
        let [gateway, product] = gateway.cost(options, ["gateway", "product"]).await?;
        cost.bare += bare / f64::from(ROUNDS);
        cost.gateway += gateway / f64::from(ROUNDS);
        cost.product += product / f64::from(ROUNDS);
    }
    Ok(cost)
}

/// Who is asked, and the processes behind that.
struct Asked {
    uri: Uri,
    wire: Wire,
    groups: Vec<Group>,
}

impl Asked {
    /// What a request costs each of these processes, in core-microseconds.
    async fn cost<const N: usize>(&self, options: &HotBench, names: [&str; N]) -> Result<[f64; N]> {
        let look = || snapshot(&self.groups).context("the kernel does not tell what it costs");
        let from = look()?;
        let sent = send(&self.wire, &self.uri, options.rate, options.duration).await?;
        let spent = look()?.since(&from, &self.groups).groups;
        let of = |name: &str| {
            let its = self.groups.iter().zip(&spent).filter(|(group, _)| group.name == name);
            1_000.0 * its.map(|(_, (_, ms))| *ms).sum::<u64>() as f64 / sent as f64
        };
        Ok(names.map(of))
    }
}

/// Asks so often a second, for so long. Returns how often that was.
async fn send(wire: &Wire, uri: &Uri, rate: u32, time: Duration) -> Result<u64> {
    let until = Instant::now() + time;
    let every = Duration::from_secs_f64(f64::from(WORKERS) / f64::from(rate));
    let workers = (0..WORKERS).map(async |_| {
        let (mut due, mut sent) = (interval(every), 0);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while due.tick().await < until {
            let answer = wire.send(request(Method::GET, uri.clone(), Bytes::new())).await;
            let status = answer.map_err(anyhow::Error::msg)?.status;
            ensure!(status.is_success(), "answered {status}");
            sent += 1;
        }
        Ok(sent)
    });
    Ok(try_join_all(workers).await?.into_iter().sum())
}

/// The handler, in a process of its own. It ends with this value.
struct Bare {
    child: Child,
    address: String,
}

impl Bare {
    fn start(file: &Path) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("bare");
        let mut command = Command::new(&program);
        command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| program.display().to_string())?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait(); // it has nothing to say any more
    }
}
