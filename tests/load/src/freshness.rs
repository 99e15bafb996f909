//! `cargo souk bench freshness`: how old what is shown is, while prices change. A price carries the number of its change, so
//! each look tells which change it is from, and when that was replaced.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::{join_all, try_join_all};
use hdrhistogram::Histogram;
use http::Method;
use operator::api::Api;
use operator::catalogue::pence;
use operator::layout::Layout;
use operator::{Options, running};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use souk::cli::FreshnessBench;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::report::Latency;
use crate::seed;
use crate::shop::Target;
use crate::wire::on_this_thread;
use crate::zipf::Zipf;

/// What is shown was replaced less than this before it was asked for (P23).
const AGE_MAX: Duration = Duration::from_secs(1);
/// Half of the looks are at what has changed in this time.
const RECENT: Duration = Duration::from_secs(5);
/// Pence, before the first change.
const FIRST_PRICE: i64 = 100_000;
const READERS: u32 = 16;
const CHANGERS: u32 = 4;
const SEED: u64 = 23;
/// One look of so many is at a list.
const LIST_EVERY: u32 = 12;

/// What was seen.
#[derive(Debug)]
pub struct Freshness {
    /// Prices that were looked at.
    pub looks: u64,
    /// Changes that were made meanwhile.
    pub changes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Looks that showed what had been replaced when they were sent.
    pub replaced: u64,
    /// For how long it had been, of these.
    pub age_ms: Latency,
    /// Looks that showed what had been replaced for more than a second.
    pub too_old: u64,
}

impl Freshness {
    /// Whether nothing was too old.
    pub fn is_right(&self) -> bool {
        self.looks > 0 && self.too_old == 0
    }

    /// How many nines the share of looks has that were not too old; with none, at least as many as so many looks can show.
    pub fn nines(&self) -> f64 {
        (self.looks.max(1) as f64 / self.too_old.max(1) as f64).log10()
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looks, changes, seconds, replaced, age_ms, too_old } = self;
        let (looked, changed) = (*looks as f64 / seconds, *changes as f64 / seconds);
        writeln!(
            f,
            "looks      {looks}, {looked:.0}/s, while {changes} prices changed, {changed:.0}/s"
        )?;
        let share = 100.0 * *replaced as f64 / (*looks).max(1) as f64;
        writeln!(
            f,
            "replaced   {replaced} showed a price that had been replaced ({share:.2} %), for"
        )?;
        writeln!(
            f,
            "           p50 {:.0}, p99 {:.0}, at most {:.0} ms",
            age_ms.p50, age_ms.p99, age_ms.max
        )?;
        let least = if *too_old == 0 { "more than " } else { "" };
        write!(f, "too old    {too_old} for more than a second: {least}{:.1} nines", self.nines())
    }
}

/// Two copies of what remembers products.
pub fn copies(shop: &mut Options) {
    shop.replicas = "gateway=2,product=2".parse().expect("services and numbers"); // written here
}

/// Measures the shop of a folder, on this thread.
///
/// # Errors
/// When it is not up, has other than two gateways, or refuses something.
pub fn measure(options: &FreshnessBench, layout: &Layout) -> Result<Freshness> {
    on_this_thread(measured(options, layout))
}

/// The products, and what is known of their prices.
struct Shelf {
    products: Vec<String>,
    /// Of each product: when each of its prices was known to be replaced.
    replaced: Vec<RefCell<Vec<Instant>>>,
    /// What changed when, the newest last.
    recent: RefCell<VecDeque<(Instant, usize)>>,
    until: Instant,
    zipf: Zipf,
}

/// What one reader has seen.
struct Seen {
    looks: u64,
    ages_us: Histogram<u64>,
    too_old: u64,
}

async fn measured(options: &FreshnessBench, layout: &Layout) -> Result<Freshness> {
    let target = Target::of(layout, running::at(layout)?)?;
    let apis: Vec<Api> =
        target.gateways.iter().map(|it| Api::new(&format!("http://{it}"))).collect();
    let [changing, _] = &apis[..] else { anyhow::bail!("{} gateways, not two", apis.len()) };
    let products = seed::products(changing, &target, usize::try_from(options.products)?).await?;
    let staff = target.staff.as_ref().context("the shop has no staff")?;
    let token = changing.sign_in(&staff.email, &staff.password).await?;
    for product in &products {
        price(changing, &token, product, FIRST_PRICE).await?;
    }
    sleep(AGE_MAX).await; // what was there before is not shown any more
    let from = Instant::now();
    let shelf = Shelf {
        replaced: products.iter().map(|_| RefCell::default()).collect(),
        recent: RefCell::default(),
        until: from + options.duration,
        zipf: Zipf::new(products.len(), 1.0),
        products,
    };
    let changers = (0..CHANGERS).map(|number| {
        let every = Duration::from_secs_f64(f64::from(CHANGERS) / f64::from(options.changes));
        shelf.change(changing, &token, number, every)
    });
    let readers = (0..READERS).map(|number| {
        let every = Duration::from_secs_f64(f64::from(READERS) / f64::from(options.rate));
        shelf.read(&apis[usize::from(number % 2 == 1)], number, every)
    });
    let (changed, seen) = tokio::join!(try_join_all(changers), join_all(readers));
    changed?;
    let seconds = from.elapsed().as_secs_f64();
    let (mut looks, mut too_old, mut ages_us) = (0, 0, ages()?);
    for seen in seen {
        let seen = seen?;
        (looks, too_old) = (looks + seen.looks, too_old + seen.too_old);
        ages_us.add(&seen.ages_us)?;
    }
    let changes = shelf.replaced.iter().map(|it| it.borrow().len() as u64).sum();
    let (replaced, age_ms) = (ages_us.len(), Latency::of(&ages_us));
    Ok(Freshness { looks, changes, seconds, replaced, age_ms, too_old })
}

impl Shelf {
    /// Changes prices of its own part of the products, one after the other.
    async fn change(&self, gateway: &Api, token: &str, part: u32, every: Duration) -> Result<()> {
        let mut random = StdRng::seed_from_u64(SEED + u64::from(part));
        let mut ticks = ticks(every);
        while Instant::now() < self.until {
            ticks.tick().await;
            let drawn = self.zipf.draw(&mut random);
            let at = drawn - drawn % CHANGERS as usize + part as usize;
            let Some(product) = self.products.get(at) else { continue };
            let next = self.replaced[at].borrow().len() + 1;
            price(gateway, token, product, FIRST_PRICE + i64::try_from(next)?).await?;
            let now = Instant::now();
            self.replaced[at].borrow_mut().push(now);
            self.recent.borrow_mut().push_back((now, at));
        }
        Ok(())
    }

    /// Looks at products and, once in [`LIST_EVERY`] times, at the list.
    async fn read(&self, gateway: &Api, number: u32, every: Duration) -> Result<Seen> {
        let mut random = StdRng::seed_from_u64(SEED * 2 + u64::from(number));
        let mut ticks = ticks(every);
        let mut seen = Seen { looks: 0, ages_us: ages()?, too_old: 0 };
        while Instant::now() < self.until {
            ticks.tick().await;
            let is_list = random.random_ratio(1, LIST_EVERY);
            let path = match is_list {
                true => {
                    format!("/v1/products?page_size={}&category={}", seed::PAGE, seed::CATEGORY)
                }
                false => format!("/v1/products/{}", self.products[self.draw(&mut random)]),
            };
            let asked = Instant::now();
            let mut shown: Value = gateway.get(&path, None).await?.json()?;
            let listed = shown["products"].as_array_mut().map(std::mem::take);
            let all = listed.unwrap_or_else(|| vec![shown]);
            let expected = if is_list { self.products.len().min(seed::PAGE) } else { 1 };
            ensure!(all.len() == expected, "{path} shows {} products", all.len());
            for product in all {
                self.judge(&product, asked, &mut seen)?;
            }
        }
        Ok(seen)
    }

    /// Notes for how long what is shown had been replaced when it was asked for.
    fn judge(&self, shown: &Value, asked: Instant, seen: &mut Seen) -> Result<()> {
        let id = shown["product_id"].as_str().context("no id")?;
        let at = self.products.iter().position(|it| it == id).context("another product")?;
        let minor = shown["price"]["minor_units"].as_i64().context("no price")?;
        let change = usize::try_from(minor - FIRST_PRICE)?;
        let known = self.replaced[at].borrow();
        ensure!(change <= known.len() + 1, "nobody has set a price of {minor}");
        seen.looks += 1;
        if let Some(gone) = known.get(change).filter(|gone| **gone < asked) {
            let age = asked - *gone;
            seen.ages_us.saturating_record(u64::try_from(age.as_micros())?);
            seen.too_old += u64::from(age > AGE_MAX);
        }
        Ok(())
    }

    /// Every other time something that has changed a moment ago.
    fn draw(&self, random: &mut StdRng) -> usize {
        let mut recent = self.recent.borrow_mut();
        while recent.front().is_some_and(|(at, _)| at.elapsed() > RECENT) {
            recent.pop_front();
        }
        if recent.is_empty() || random.random_bool(0.5) {
            return self.zipf.draw(random);
        }
        recent[random.random_range(0..recent.len())].1
    }
}

fn ages() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Staff set a price.
pub(crate) async fn price(gateway: &Api, token: &str, product: &str, minor: i64) -> Result<()> {
    let path = format!("/v1/staff/products/{product}/price");
    let price = json!(pence(minor));
    gateway.call(Method::PUT, &path, Some(token), Some(&price), &[]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_of_what_was_not_too_old() {
        let seen = |looks, too_old| Freshness {
            looks,
            changes: 50,
            seconds: 10.0,
            replaced: 20,
            age_ms: Latency::default(),
            too_old,
        };
        assert!((seen(1_000, 1).nines() - 3.0).abs() < 1e-9);
        assert!(seen(1_000, 0).is_right() && !seen(1_000, 1).is_right() && !seen(0, 0).is_right());
        let text = seen(1_000_000, 0).to_string();
        assert!(text.contains("100000/s") && text.contains("more than 6.0 nines"), "{text}");
    }
}
