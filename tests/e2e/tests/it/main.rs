//! The whole shop through its HTTP API: six services, the payment provider and real stores, all
//! as processes. The scenarios share one shop; those that break things have one of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod authorization;
mod browser;
mod browsing;
mod buying;
mod carts;
mod console;
mod paying;
mod refusing;
mod returning;
mod tracing;
mod importing;
mod reading;
mod grpcio;
mod operating;
mod crashing;
mod encrypting;
mod faulting;
mod in_flight;
mod one_shard;
mod releases;
mod repeating;
mod retention;
mod upgrading;
mod watching;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use e2e::{shopper, shops};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use operator::{Options, Shop};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(&runtime, None)).exit_code();
    }
    let shop = match runtime.block_on(shops::open("shared", two_gateways)) {
        Ok(shop) => Arc::new(shop),
        Err(error) => {
            eprintln!("the shop does not open: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(&runtime, Some(&shop)));
    if conclusion.has_failed() {
        shops::print_logs(&shop);
    }
    let shop = Arc::into_inner(shop).expect("every scenario has ended");
    if let Err(error) = runtime.block_on(shops::close("shared", shop)) {
        eprintln!("the shop does not close: {error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// Browsers have no affinity to a gateway.
fn two_gateways(options: &mut Options) {
    options.replicas = "gateway=2".parse().expect("replicas");
}

/// Scenarios of the shared shop, and those that open one of their own.
macro_rules! scenarios {
    ($runtime:expr, $shop:expr, shared: [$($shared:path),* $(,)?], own: [$($own:path),* $(,)?]) => {
        vec![
            $({
                let (runtime, shop) = (Arc::clone($runtime), $shop.map(Arc::clone));
                Trial::ignorable_test(stringify!($shared), move || {
                    let shop = shop.ok_or("no shop")?;
                    outcome(runtime.block_on($shared(&shop)))
                })
            },)*
            $({
                let runtime = Arc::clone($runtime);
                Trial::ignorable_test(stringify!($own), move || outcome(runtime.block_on($own())))
            },)*
        ]
    };
}

#[expect(clippy::too_many_lines, reason = "a list of scenarios")]
fn trials(runtime: &Arc<Runtime>, shop: Option<&Arc<Shop>>) -> Vec<Trial> {
    scenarios!(runtime, shop,
        shared: [
            browsing::a_checkout_form_sent_twice_is_one_order,
            browsing::a_declined_card_is_shown_as_an_order_that_was_undone,
            browsing::a_form_of_another_site_changes_nothing,
            browsing::a_form_after_the_session_expired_leads_to_sign_in_and_back,
            browsing::a_session_that_was_never_issued_is_nobodys,
            browsing::somebody_elses_order_has_no_page,
            browsing::markup_in_what_people_write_is_shown_as_text,
            browsing::signing_out_ends_the_session_at_every_gateway,
            buying::an_order_settles_and_everything_adds_up,
            buying::twenty_duplicates_with_one_key_are_one_order,
            buying::two_tabs_are_one_order,
            buying::a_key_with_another_body_is_refused,
            buying::what_is_not_there_is_not_sold,
            buying::twenty_buyers_of_five_pieces_buy_five,
            buying::a_guests_cart_is_merged_at_sign_in,
            buying::a_price_change_is_what_the_next_order_pays,
            buying::what_is_bought_together_is_shown_with_either,
            buying::an_order_of_two_thousand_lines_settles,
            carts::unsold_goods_are_in_the_cart_again,
            carts::nobody_pays_a_total_that_was_not_agreed_to,
            paying::a_declined_card_cancels_and_releases,
            paying::a_charge_whose_answer_was_lost_is_one_charge,
            paying::a_cancellation_while_paying_charges_nothing,
            refusing::every_refusal_is_a_problem_with_a_code,
            refusing::what_is_somebody_elses_does_not_exist,
            returning::a_return_is_refunded_and_restocked_when_it_is_received,
            returning::a_refused_return_costs_and_restocks_nothing,
            returning::a_refund_that_the_provider_refuses_is_settled_by_staff,
            tracing::one_trace_has_every_service,
            tracing::every_metric_is_in_the_catalogue,
            importing::a_catalogue_is_imported_once,
            watching::cancelled_is_seen_before_the_stock_is_free,
            grpcio::pythons_client_lists_describes_calls_and_reads_refusals,
        ],
        own: [
            authorization::everybody_is_answered_as_the_matrix_says,
            browsing::a_dead_gateway_or_an_empty_redis_loses_no_cart_and_no_order,
            reading::readme_runs_as_it_is_printed,
            console::the_console_breaks_the_shop_and_says_whether_a_promise_broke,
            carts::second_checkout_excludes_lines_already_ordered,
            carts::a_killed_cart_or_order_sells_nothing_twice,
            crashing::a_killed_service_delays_an_order_and_loses_nothing,
            crashing::services_start_without_the_bus,
            faulting::a_fault_of_the_shop_in_use_is_bounded_and_undone,
            in_flight::orders_move_again_soon_after_a_kill,
            one_shard::a_shard_that_is_away_costs_its_own_users_only,
            encrypting::connections_to_stores_and_from_the_provider_are_encrypted,
            releases::a_release_serves_a_schema_that_is_one_migration_ahead,
            repeating::every_event_again_in_any_order_changes_nothing,
            retention::what_is_over_is_deleted_and_nothing_else,
            upgrading::what_the_last_release_wrote_is_read,
            watching::a_live_stream_outlives_the_copies_that_it_comes_from,
        ]
    )
}

/// What a scenario answers that lacks what it needs: the list says so, and counts it as ignored.
#[derive(Debug)]
struct Skipped(&'static str);

impl std::error::Error for Skipped {}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

fn outcome(result: Result<()>) -> Result<Completion, Failed> {
    match result {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast::<Skipped>() {
            Ok(skipped) => Ok(Completion::ignored_with(skipped)),
            Err(error) => Err(format!("{error:?}").into()),
        },
    }
}
