//! What customers do, and how often.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};
use souk::cli::{self, Class};

/// One thing that a customer does: one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The first page of the catalogue.
    Home,
    /// One product.
    Browse,
    /// A search.
    Search,
    /// Looking into the cart.
    Cart,
    /// Putting something into the cart.
    Add,
    /// Ordering what is in the cart.
    Checkout,
}

impl Route {
    /// Every route, in the order of the report.
    pub const ALL: [Self; 6] =
        [Self::Home, Self::Browse, Self::Search, Self::Cart, Self::Add, Self::Checkout];

    /// Its place in [`Route::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As it is called in reports and scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Browse => "browse",
            Self::Search => "search",
            Self::Cart => "cart",
            Self::Add => "add",
            Self::Checkout => "checkout",
        }
    }

    /// What is sent.
    pub fn request(self) -> &'static str {
        match self {
            Self::Home => "GET /v1/products?page_size=12",
            Self::Browse => "GET /v1/products/{id}",
            Self::Search => "GET /v1/search?q=…",
            Self::Cart => "GET /v1/cart",
            Self::Add => "PUT /v1/cart/items/{id}",
            Self::Checkout => "POST /v1/orders",
        }
    }

    /// What is expected of it.
    pub fn class(self) -> Class {
        match self {
            Self::Home | Self::Browse | Self::Search => Class::Read,
            Self::Cart | Self::Add => Class::Cart,
            Self::Checkout => Class::Checkout,
        }
    }
}

/// How often, in proportion to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    home: u32,
    browse: u32,
    search: u32,
    cart: u32,
    add: u32,
    checkout: u32,
}

impl Weights {
    /// In the order of [`Route::ALL`].
    pub fn all(&self) -> [u32; 6] {
        [self.home, self.browse, self.search, self.cart, self.add, self.checkout]
    }

    /// What the next customer does.
    pub fn draw(&self, random: &mut impl Rng) -> Route {
        let weights = self.all();
        let mut point = random.random_range(0..weights.iter().sum::<u32>().max(1));
        for (route, weight) in Route::ALL.into_iter().zip(weights) {
            match point.checked_sub(weight) {
                Some(rest) => point = rest,
                None => return route,
            }
        }
        Route::Home // not reached: the point is below the sum
    }
}

/// A scenario, as it may stand in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// How often everything is done.
    pub weights: Weights,
    /// How unequal the products are: the exponent of Zipf's law.
    #[serde(default = "one")]
    pub zipf: f64,
    /// How many products are looked at and bought.
    #[serde(default = "thousand")]
    pub products: usize,
}

fn one() -> f64 {
    1.0
}

fn thousand() -> usize {
    1_000
}

impl Scenario {
    /// One that comes with the program.
    pub fn named(name: cli::Scenario) -> Self {
        let (zipf, products) = (one(), thousand());
        let mix = Weights { home: 1, browse: 10, cart: 3, add: 2, checkout: 1, search: 0 };
        match name {
            cli::Scenario::Mix
            | cli::Scenario::Spike
            | cli::Scenario::Soak
            | cli::Scenario::ShardOutage => Self { weights: mix, zipf, products },
            cli::Scenario::Browse => {
                let weights = Weights { home: 1, browse: 10, search: 1, ..Weights::default() };
                Self { weights, zipf, products }
            }
            cli::Scenario::Checkout => {
                let weights = Weights { add: 1, checkout: 1, ..Weights::default() };
                Self { weights, zipf, products }
            }
            cli::Scenario::HotProduct => {
                let weights = Weights { browse: 2, add: 1, checkout: 1, ..Weights::default() };
                Self { weights, zipf, products: 1 }
            }
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is none, or cannot be played.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        let scenario: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        scenario.check().with_context(|| path.display().to_string())?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        let weights = self.weights.all();
        ensure!(weights.iter().any(|weight| *weight > 0), "no weight is above 0");
        ensure!(weights.iter().all(|weight| *weight <= 10_000), "a weight is at most 10000");
        ensure!(
            self.weights.checkout <= self.weights.add,
            "more checkouts than adds: carts would run out"
        );
        ensure!((0.0..=5.0).contains(&self.zipf), "zipf is from 0 to 5");
        ensure!((1..=10_000).contains(&self.products), "products are from 1 to 10000");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn parse(text: &str) -> Result<Scenario> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Scenario::read(file.path())
    }

    #[test]
    fn the_classic_mix_is_drawn_in_its_proportions() {
        let weights = Scenario::named(cli::Scenario::Mix).weights;
        let (mut random, mut counts) = (StdRng::seed_from_u64(1), [0_u32; 6]);
        (0..170_000).for_each(|_| counts[weights.draw(&mut random).index()] += 1);
        for (count, weight) in counts.into_iter().zip([1, 10, 0, 3, 2, 1]) {
            let expected = weight * 10_000;
            assert!(count.abs_diff(expected) <= expected / 20, "{count}, not {expected}");
        }
    }

    #[test]
    fn what_comes_with_the_program_can_be_played() {
        for name in cli::Scenario::value_variants() {
            let checked = Scenario::named(*name).check();
            assert!(checked.is_ok(), "{}: {checked:?}", name.name());
        }
    }

    #[test]
    fn a_file_is_read_and_a_mistake_in_it_is_named() {
        let scenario = parse(r#"{"weights":{"browse":3,"add":1,"checkout":1},"zipf":0.8}"#);
        let scenario = scenario.expect("valid");
        assert_eq!((scenario.weights.all(), scenario.products), ([0, 3, 0, 0, 1, 1], 1_000));
        for (bad, told) in [
            (r#"{"weights":{"browse":1},"pace":3}"#, "pace"),
            (r#"{"weights":{"brouse":1}}"#, "brouse"),
            (r#"{"weights":{}}"#, "no weight"),
            (r#"{"weights":{"checkout":2,"add":1}}"#, "carts would run out"),
            (r#"{"weights":{"browse":1},"zipf":-1}"#, "zipf"),
            (r#"{"weights":{"browse":1},"products":0}"#, "products"),
            ("{", "EOF"),
        ] {
            let error = format!("{:#}", parse(bad).expect_err(bad));
            assert!(error.contains(told) && !error.contains('\n'), "{error}");
        }
    }
}
