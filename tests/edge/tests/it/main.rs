//! `deploy/edge/nginx.conf` as it is shipped, in the distribution's nginx, in front of two gateways of a
//! shop of its own. Part of `cargo souk test --all`, which sets `SOUK_TEST_EDGE`.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod nginx;
mod shop;
mod counting;
mod keeping;
mod passing;
mod failing;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use nginx::Edge;
use shop::Front;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("SOUK_TEST_EDGE").is_none() || arguments.list {
        println!("edge: part of cargo souk test --all (SOUK_TEST_EDGE=1)");
        return ExitCode::SUCCESS;
    }
    arguments.test_threads = Some(1); // some of them kill what the others use
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    match run(&arguments, &runtime) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, runtime: &Arc<Runtime>) -> Result<ExitCode> {
    let front = Arc::new(runtime.block_on(Front::open())?);
    let conclusion = libtest_mimic::run(arguments, trials(runtime, &front));
    let front = Arc::into_inner(front).context("a scenario has not ended")?;
    runtime.block_on(front.close(conclusion.has_failed()))?;
    Ok(conclusion.exit_code())
}

macro_rules! scenarios {
    ($runtime:expr, $front:expr, [$($scenario:path),* $(,)?]) => {
        vec![$({
            let (runtime, front) = (Arc::clone($runtime), Arc::clone($front));
            Trial::test(stringify!($scenario), move || {
                let done: Result<()> = runtime.block_on($scenario(&front));
                done.map_err(|error| Failed::from(format!("{error:#}")))
            })
        },)*]
    };
}

fn trials(runtime: &Arc<Runtime>, front: &Arc<Front>) -> Vec<Trial> {
    scenarios!(
        runtime,
        front,
        [
            keeping::a_public_read_is_kept_for_a_second,
            keeping::pages_of_the_catalogue_are_kept_and_what_they_load_for_ever,
            keeping::of_many_who_want_the_same_one_asks,
            keeping::nobody_sees_a_price_older_than_three_seconds,
            keeping::what_is_somebodys_own_is_never_kept,
            passing::an_order_is_placed_and_followed_live,
            passing::a_form_is_ours_at_the_address_of_the_edge,
            passing::an_import_is_a_stream_of_any_length,
            passing::what_is_too_large_is_refused_in_the_gateways_words,
            failing::a_post_that_was_sent_is_not_sent_again,
            failing::a_killed_gateway_costs_no_read,
            failing::gateways_are_restarted_and_nobody_notices,
            failing::without_gateways_the_edge_says_so,
            failing::a_stranger_is_not_spoken_to,
        ]
    )
}
