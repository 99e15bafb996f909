//! Every service dies at every crash point that it passes, is started again, and everything settles.
//! Part of `cargo souk test --all`, which builds the services with their points and sets
//! `SOUK_TEST_CRASHES`. An argument narrows the deaths: `payment at psp`.

mod cases;
mod actions;
mod story;
mod world;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use audit::Places;
use e2e::shopper::text;
use e2e::shops;
use futures_util::FutureExt as _;
use kernel::OrderId;
use tokio::runtime::Runtime;

use cases::Case;
use story::Story;
use world::World;

/// For what settles last.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if std::env::var_os("SOUK_TEST_CRASHES").is_none() {
        println!("crashes: part of cargo souk test --all (SOUK_TEST_CRASHES=1)");
        return ExitCode::SUCCESS;
    }
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let runtime = Runtime::new().expect("a runtime");
    match runtime.block_on(every_crash_point_is_survived(&wanted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn every_crash_point_is_survived(wanted: &str) -> Result<()> {
    let mut cases = cases::all();
    cases.retain(|case| case.to_string().contains(wanted));
    ensure!(!cases.is_empty(), "no death is called {wanted:?}");
    let world = World::open().await?;
    // A wait that is over panics; the logs are wanted all the same.
    let done = AssertUnwindSafe(deaths(&world, &cases)).catch_unwind().await;
    let done = done.unwrap_or_else(|_| Err(anyhow!("a wait was in vain")));
    shops::close_after(world::NAME, world.shop, done).await
}

async fn deaths(world: &World, cases: &[Case]) -> Result<()> {
    let began = Instant::now();
    let mut acknowledged = Vec::new();
    for case in cases {
        println!("{:>6.1} s  {case}", began.elapsed().as_secs_f64());
        acknowledged.extend(death(world, *case).await.with_context(|| case.to_string())?);
    }
    let audit = audit::audit(&Places::of(&world.shop), &acknowledged, PATIENCE).await?;
    println!("{}", audit.verdict);
    ensure!(audit.verdict.is_clean(), "the auditor found what is above");
    let (deaths, seconds) = (cases.len(), began.elapsed().as_secs());
    println!("{deaths} deaths in {seconds} s: everything settled, and the books are right");
    Ok(())
}

/// The service dies there, lives again without, and all that was under way comes to its end. Answers
/// the orders that the shop had accepted.
async fn death(world: &World, case: Case) -> Result<Vec<OrderId>> {
    let mut story = Story::begin(case.action, world).await?;
    let armed = world.arm(case).await?;
    tokio::try_join!(story.go_on(world), armed.dies())?;
    world.quiet().await?;
    story.end(world).await?;
    let orders = story.orders().map(|order| text(order, "order_id").parse());
    Ok(orders.collect::<Result<_, _>>()?)
}
