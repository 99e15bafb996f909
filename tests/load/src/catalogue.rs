//! `cargo souk bench catalogue`: whether a look at the catalogue costs more when the catalogue is larger. Nothing is kept in
//! memory, so that each request reads the database.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use audit::Places;
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Method, Uri};
use operator::layout::Layout;
use operator::{Options, running};
use souk::cli::CatalogueBench;
use stores::{Home, Psql, Tools};
use tokio::time::Instant;

use crate::lab::precomputed;
use crate::machine::{groups, snapshot};
use crate::say;
use crate::shop::Target;
use crate::showing::{VARIANTS, turn_off};
use crate::table::Table;
use crate::temporary_shop::with_shop;
use crate::wire::{Wire, on_this_thread, request};

/// How many products there are.
const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Products that have a word of their own.
const HITS: u32 = 50;
/// Different requests of a kind.
const VARIETY: u32 = 200;
const CUSTOMERS: u32 = 2;
const WARM_UP: Duration = Duration::from_millis(500);
/// The row of the chart.
const SEARCH: &str = "a search with 50 hits";

/// A kind of request, and the path of one, by its number of [`VARIETY`] and how many products there are.
type Kind = (&'static str, fn(u32, u32) -> String);

const KINDS: [Kind; 5] = [
    ("a product", |at, products| format!("/v1/products/{}", id(at * products / VARIETY))),
    ("a page of a category", |at, products| {
        format!("/v1/products?page_size=12&category=c{}", at * products / VARIETY / HITS)
    }),
    (SEARCH, |at, products| format!("/v1/search?q=rare{}", at * products / VARIETY / HITS)),
    ("a search that finds every tenth", |at, _| format!("/v1/search?q=tenth{}", at % 10)),
    ("a search that finds all", |_, _| "/v1/search?q=cup".to_owned()),
];

/// Measures each size in a shop in `folder`, prints the table and draws a chart.
///
/// # Errors
/// When the shop does not come up, or the database refuses something.
pub(crate) async fn run(options: &CatalogueBench, folder: &Path, reports_in: &Path) -> Result<()> {
    std::fs::create_dir_all(reports_in)?;
    let options = options.clone();
    let measure = move |layout: &Layout, _: &str| on_this_thread(measured(&options, layout));
    let table = with_shop(folder, without_memories, measure).await?;
    table.chart(SEARCH, "A search in a catalogue that grows", &reports_in.join("search.svg"))?;
    say(&format!("\n{table}"));
    Ok(())
}

fn without_memories(shop: &mut Options) {
    turn_off(shop, VARIANTS[0].1);
    precomputed::idle(shop);
}

async fn measured(options: &CatalogueBench, layout: &Layout) -> Result<Table> {
    let state = running::at(layout)?;
    let places = Places::of_running(layout, &state)?;
    let url = places.of_context("product")?.first().context("no database of products")?.clone();
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("no psql on this machine")?;
    let shop = groups(&state, "bench");
    let wire = Wire::to(&Target::of(layout, state)?.gateways)?;
    let (mut there, mut figures) = (0, [const { Vec::new() }; KINDS.len()]);
    let sizes: Vec<u32> = SIZES.into_iter().filter(|size| *size <= options.products).collect();
    for &products in &sizes {
        say(&format!("---- {products} products"));
        psql.run(&url, &more(there, products))?;
        there = products;
        for (kind, figures) in KINDS.iter().zip(&mut figures) {
            let paths = (0..VARIETY).map(|at| kind.1(at, products).parse());
            let uris = paths.collect::<Result<Vec<Uri>, _>>()?;
            ask(&wire, &uris, WARM_UP).await?;
            let look = || snapshot(&shop).context("the kernel does not tell what it costs");
            let from = look()?;
            let asked = ask(&wire, &uris, options.duration).await?;
            let spent = look()?.since(&from, &shop).shop();
            figures.push(asked.map(|asked| spent as f64 / asked as f64));
        }
    }
    let columns = sizes.iter().map(|size| format!("{size} products"));
    let mut table = Table::new("core-ms for a request", columns);
    for ((name, _), figures) in KINDS.iter().zip(figures) {
        table.add(name, 2, figures);
    }
    Ok(table)
}

/// Asks one after the other, as each of [`CUSTOMERS`]. Returns how often that was; nothing when one was refused.
async fn ask(wire: &Wire, uris: &[Uri], time: Duration) -> Result<Option<u64>> {
    let until = Instant::now() + time;
    let customers = (0..CUSTOMERS).map(async |customer| {
        let all = uris.iter().cycle().skip(customer as usize).step_by(CUSTOMERS as usize);
        let mut answered = 0;
        for uri in all {
            if Instant::now() >= until {
                break;
            }
            let answer = wire.send(request(Method::GET, uri.clone(), Bytes::new())).await;
            if !answer.map_err(anyhow::Error::msg)?.status.is_success() {
                return Ok(None);
            }
            answered += 1;
        }
        anyhow::Ok(Some(answered))
    });
    Ok(try_join_all(customers).await?.into_iter().sum())
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// Products from one number to another, each in stock.
fn more(from: u32, to: u32) -> String {
    format!(
        "with added as (
             insert into products (product_id, sku, name, description, category, price_minor, currency)
             select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench-' || n, 'Cup rare' || n / {HITS} || ' number ' || n,
                 'Fired twice, glazed in the colour of the tenth' || n % 10 || ' hour, and packed in straw', 'c' || n / {HITS}, 100 + n % 900, 'GBP'
             from generate_series({from}, {to} - 1) n returning product_id
         )
         insert into stock (product_id, received, on_hand) select product_id, 10, 10 from added;
         vacuum analyze products; vacuum analyze stock"
    )
}
