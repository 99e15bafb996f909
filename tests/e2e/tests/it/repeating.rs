//! The same events again, in any order: the shop's state stays what it was.

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::{self, Context as JetStream, consumer};
use audit::Places;
use e2e::shops;
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use http::Method;
use kernel::OrderId;
use messaging::Bus;
use operator::Shop;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngCore as _, SeedableRng as _};
use serde_json::json;
use stores::{Home, Psql, Tools};
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, fresh, text};

/// The rows of every table, as one number, and how many events were written.
const STATE: &str = "
    select table_name, query_to_xml(format(
        'select count(*), md5(string_agg(t::text, '','' order by t::text)) from %I t', table_name),
        true, true, '')
    from information_schema.tables where table_schema = 'public' order by table_name;
    select 'written', count(*) from messaging.outbox;
    select 'given up', count(*) from messaging.dead_letters;";

pub async fn every_event_again_in_any_order_changes_nothing() -> Result<()> {
    let shop = shops::open("repeating", |_| ()).await?;
    let done = repeat(&shop).await;
    shops::close_after("repeating", shop, done).await
}

async fn repeat(shop: &Shop) -> Result<()> {
    let (places, orders) = (Places::of(shop), stories(shop).await?);
    ensure!(audit::until_quiet(&places, SETTLED).await?, "the stories end");
    let nats = messaging::Options::at(shop.endpoints().nats_url.clone());
    let bus = Bus::connect(&nats, "repeating").await?;
    let bus = jetstream::new(bus.client().clone());
    let consumers = all_consumers(&bus).await?.len();
    taken_in(&bus, consumers).await;
    let before = of_every_database(&places, STATE)?;
    for seed in 0..2 {
        // Now only their own rules tell the services what has happened.
        forget_inboxes(&places)?;
        send_again(&bus, seed).await?;
        taken_in(&bus, consumers).await;
        ensure!(audit::until_quiet(&places, SETTLED).await?, "nothing is under way");
        let after = of_every_database(&places, STATE)?;
        for ((url, before), (_, after)) in before.iter().zip(&after) {
            ensure!(before == after, "seed {seed}, {url}: was {before} and is {after}");
        }
    }
    let verdict = audit::audit(&places, &orders, SETTLED).await?.verdict;
    ensure!(verdict.is_clean(), "{verdict:?}");
    Ok(())
}

/// Every way in which an order can end, and what may happen afterwards.
async fn stories(shop: &Shop) -> Result<Vec<OrderId>> {
    let (staff, returns) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(20).await?;
    let mut orders = Vec::new();

    let order = returns.order(&product, 3).await?;
    returns.reaches(&order, "confirmed").await?;
    returns.put_in_cart(&product, 3).await?; // as many as might be taken out again
    let back = fresh();
    returns.send_back(&order, &back, &product, 2).await?;
    staff.receive(&order, &back, &product, 2).await?;
    returns.is_refunded(&order, 500).await;
    orders.push(order);

    let declined = Shopper::with_card(shop, "tok_decline").await?;
    let order = declined.order(&product, 1).await?;
    declined.reaches(&order, "cancelled").await?;
    orders.push(order);

    let lost = Shopper::with_card(shop, "tok_lost").await?;
    let order = lost.order(&product, 1).await?;
    lost.reaches(&order, "confirmed").await?;
    orders.push(order);

    let cancels = Shopper::with_card(shop, "tok_hang").await?;
    let order = cancels.order(&product, 1).await?;
    cancels.reaches(&order, "stock_held").await?;
    let path = format!("/v1/orders/{}/cancel", text(&order, "order_id"));
    cancels.post(&path, &json!({})).await?;
    orders.push(order);

    let late = Shopper::new(shop).await?;
    let order = late.order(&staff.product(0).await?, 1).await?;
    late.reaches(&order, "cancelled").await?;
    late.api.call(Method::DELETE, "/v1/me", Some(&late.token), None, &[]).await?;
    orders.push(order);
    orders.iter().map(|order| Ok(text(order, "order_id").parse()?)).collect()
}

/// What the statements answer, of each database.
fn of_every_database(places: &Places, statements: &str) -> Result<Vec<(String, String)>> {
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
    let urls = places.databases.values().flatten();
    urls.map(|url| Ok((url.clone(), psql.run(url, statements)?))).collect()
}

fn forget_inboxes(places: &Places) -> Result<()> {
    of_every_database(places, "delete from messaging.inbox").map(drop)
}

/// Sends every message of every stream twice more, under other message ids, shuffled.
async fn send_again(bus: &JetStream, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut messages = all_messages(bus).await?;
    messages.extend(messages.clone());
    messages.shuffle(&mut random);
    for message in messages {
        let mut headers = message.headers;
        headers.insert("Nats-Msg-Id", format!("again-{}", random.next_u64()));
        bus.publish_with_headers(message.subject, headers, message.payload).await?.await?;
    }
    Ok(())
}

async fn all_messages(bus: &JetStream) -> Result<Vec<StreamMessage>> {
    let mut messages = Vec::new();
    let names: Vec<String> = bus.stream_names().try_collect().await?;
    for name in names {
        let stream = bus.get_stream(name).await?;
        let last = stream.get_info().await?.state.last_sequence;
        messages.extend(try_join_all((1..=last).map(|at| stream.get_raw_message(at))).await?);
    }
    ensure!(messages.len() > 20, "the stories are told: {}", messages.len());
    Ok(messages)
}

/// Waits until so many consumers are there and have acknowledged all that there is.
async fn taken_in(bus: &JetStream, consumers: usize) {
    eventually("everything is taken in", SETTLED, async || {
        let all = all_consumers(bus).await.ok()?;
        let busy = |it: &consumer::Info| it.num_pending > 0 || it.num_ack_pending > 0;
        (all.len() == consumers && !all.iter().any(busy)).then_some(())
    })
    .await;
}

async fn all_consumers(bus: &JetStream) -> Result<Vec<consumer::Info>> {
    let mut all = Vec::new();
    let names: Vec<String> = bus.stream_names().try_collect().await?;
    for name in names {
        all.extend(bus.get_stream(name).await?.consumers().try_collect::<Vec<_>>().await?);
    }
    Ok(all)
}
