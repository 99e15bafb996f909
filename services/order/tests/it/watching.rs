//! Live orders.

use proto::order::v1::{State, WatchOrderRequest};
use proto::product::v1::StockReserved;
use tokio::time::timeout;

use crate::shop::{SOON, Shop, id, reason};

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_each_state_and_the_end() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    let watch = |after_version| {
        let request = WatchOrderRequest { order_id: order.order_id.clone(), after_version };
        let request = customer.request(request);
        let mut client = shop.client.clone();
        async move { client.watch_order(request).await.unwrap().into_inner() }
    };
    let mut live = watch(0).await;
    let next = timeout(SOON, live.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(next.order.unwrap().state(), State::Placed);
    let event = StockReserved { order_id: order.order_id.clone() };
    shop.product.publish(id(&order), &event).await;
    let next = timeout(SOON, live.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(next.order.unwrap().state(), State::StockHeld);

    let mut resumed = watch(1).await;
    let next = timeout(SOON, resumed.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(next.order.unwrap().version, 2, "from where it was");

    // At drain a stream ends, so that the client turns to another copy.
    shop.service.stop().await;
    let last = timeout(SOON, live.message()).await.unwrap();
    assert!(matches!(last, Ok(None) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watches_somebody_elses_order() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 1);
    let order = shop.place(&customer, "key").await.unwrap();
    let stranger = shop.customer(42, 1);
    let request = WatchOrderRequest { order_id: order.order_id, after_version: 0 };
    let refused = shop.client.clone().watch_order(stranger.request(request)).await;
    assert_eq!(reason(refused.map(|_| ())), "order_not_found");
}
