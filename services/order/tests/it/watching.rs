//! Live orders.

use std::time::Duration;

use cache::redis::Redis;
use identity::{Role, revocations};
use kernel::FamilyId;
use proto::order::v1::{CancelOrderRequest, Order, State, WatchOrderRequest, WatchOrderResponse};
use proto::product::v1::StockReserved;
use testkit::eventually;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::shop::{Customer, SOON, Shop, id, reason};

type Live = Streaming<WatchOrderResponse>;

async fn watch(shop: &Shop, customer: &Customer, id: &str, seen: i64) -> Result<Live, Status> {
    let request = WatchOrderRequest { order_id: id.to_owned(), after_version: seen };
    let answer = shop.client.clone().watch_order(customer.request(request)).await;
    answer.map(tonic::Response::into_inner)
}

/// The next version; `None` at the end.
async fn next(live: &mut Live) -> Result<Option<Order>, Status> {
    let reply = timeout(SOON, live.message()).await.expect("in time")?;
    Ok(reply.map(|reply| reply.order.unwrap()))
}

async fn cancelled(shop: &Shop, customer: &Customer, order: &Order) -> Order {
    let request = CancelOrderRequest { order_id: order.order_id.clone() };
    let reply = shop.client.clone().cancel_order(customer.request(request)).await.unwrap();
    reply.into_inner().order.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_each_state_and_the_end() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    let mut live = watch(&shop, &customer, &order.order_id, 0).await.unwrap();
    assert_eq!(next(&mut live).await.unwrap().unwrap().state(), State::Placed);
    let event = StockReserved { order_id: order.order_id.clone() };
    shop.product.publish(id(&order), &event).await;
    assert_eq!(next(&mut live).await.unwrap().unwrap().state(), State::StockHeld);

    let mut resumed = watch(&shop, &customer, &order.order_id, 1).await.unwrap();
    assert_eq!(next(&mut resumed).await.unwrap().unwrap().version, 2, "from where it was");

    // At drain a stream ends with the reason, so that the client turns to another copy.
    shop.service.stop().await;
    assert_eq!(next(&mut live).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_of_a_finished_order_is_told_so_and_holds_nothing() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    let mut ahead = watch(&shop, &customer, &order.order_id, 99).await.unwrap();
    let last = cancelled(&shop, &customer, &order).await;
    assert_eq!(next(&mut ahead).await.unwrap(), None, "it ends with the order");

    let mut late = watch(&shop, &customer, &order.order_id, last.version - 1).await.unwrap();
    assert_eq!(next(&mut late).await.unwrap().unwrap().state(), State::Cancelled);
    assert_eq!(next(&mut late).await.unwrap(), None);
    for _ in 0..40 {
        let refused = watch(&shop, &customer, &order.order_id, last.version).await.map(drop);
        assert_eq!(refused.as_ref().unwrap_err().code(), Code::OutOfRange);
        assert_eq!(reason(refused), "order_ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_cannot_take_all_streams() {
    let shop = Shop::open().await;
    let (customer, other) = (shop.customer(42, 1), shop.customer(43, 1));
    let order = shop.place(&customer, "key").await.unwrap();
    let mut streams = Vec::new();
    let refused = loop {
        match watch(&shop, &customer, &order.order_id, 0).await {
            Ok(live) => streams.push(live),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.code(), streams.len()), (Code::ResourceExhausted, 16));
    assert_eq!(reason::<()>(Err(refused)), "too_many_streams");
    let others = shop.place(&other, "key").await.unwrap();
    watch(&shop, &other, &others.order_id, 0).await.unwrap();
    streams.pop();
    eventually("the place of a closed stream is free", SOON, async || {
        watch(&shop, &customer, &order.order_id, 0).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_does() {
    let shop = Shop::open().await;
    let mut customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    // It expires now, so it is taken for five seconds more: clocks may differ by that.
    customer.bearer = shop.world.bearer_for(customer.user, Role::Customer, Duration::ZERO);
    let mut live = watch(&shop, &customer, &order.order_id, 0).await.unwrap();
    assert_eq!(next(&mut live).await.unwrap().unwrap().version, 1);
    assert_eq!(next(&mut live).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_sign_in_does() {
    let shop = Shop::open().await;
    let mut customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    let (family, valid) = (FamilyId::mint(), Duration::from_secs(600));
    customer.bearer = shop.world.bearer_of(family, customer.user, Role::Customer, valid);
    let mut live = watch(&shop, &customer, &order.order_id, 0).await.unwrap();
    assert_eq!(next(&mut live).await.unwrap().unwrap().version, 1);

    let options = cache::redis::Options { redis_url: Some(shop.world.redis_url_of("user").into()) };
    let redis = Redis::new(&options, "test").unwrap().unwrap();
    revocations::add(&redis, &[family], false).await.unwrap();
    assert_eq!(next(&mut live).await.unwrap_err().code(), Code::Unauthenticated);
    let refused = watch(&shop, &customer, &order.order_id, 0).await.map(drop);
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watches_somebody_elses_order() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    let stranger = shop.customer(42, 1);
    let refused = watch(&shop, &stranger, &order.order_id, 0).await.map(drop);
    assert_eq!(reason(refused), "order_not_found");
}
