//! What can be asked of carts, and by whom.

use kernel::{CartId, ProductId, UserId};
use proto::cart::v1::{GetCartRequest, PutItemRequest};
use rpc::status::{fields, reason};
use tonic::Code;

use crate::shop::{NOBODY, SHARDS, Shop, items};

#[tokio::test(flavor = "multi_thread")]
async fn carts_on_both_databases_change_and_repeat_without_change() {
    let shop = Shop::open().await;
    for shard in SHARDS {
        let (guest, user) = (CartId::mint_on(shard).to_string(), UserId::mint_on(shard));
        for (user, cart) in [(NOBODY, guest.as_str()), (Some(user), "")] {
            let (cup, bowl) = (ProductId::mint(), ProductId::mint());
            let empty = shop.get(user, cart).await.unwrap();
            assert_eq!((empty.version, empty.items.len()), (0, 0));
            shop.put(user, cart, cup, 2).await.unwrap();
            shop.put(user, cart, bowl, 1).await.unwrap();
            let put = shop.put(user, cart, cup, 3).await.unwrap();
            assert_eq!((put.version, items(&put)), (3, vec![(cup, 3), (bowl, 1)]));
            assert_eq!(shop.put(user, cart, cup, 3).await.unwrap(), put);
            assert_eq!(shop.get(user, cart).await.unwrap(), put);
            let removed = shop.remove(user, cart, cup).await.unwrap();
            assert_eq!((removed.version, items(&removed)), (4, vec![(bowl, 1)]));
            assert_eq!(shop.remove(user, cart, cup).await.unwrap(), removed);
            let cleared = shop.clear(user, cart).await.unwrap();
            assert_eq!((cleared.version, items(&cleared)), (5, vec![]));
            assert_eq!(shop.clear(user, cart).await.unwrap(), cleared);
        }
    }
    for (shard, expected) in SHARDS.into_iter().zip(["7", "200"]) {
        assert_eq!(shop.sql(shard, "select distinct shard from carts"), expected);
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_never_reaches_the_cart_of_a_user() {
    let shop = Shop::open().await;
    let (user, other, product) = (UserId::mint(), UserId::mint(), ProductId::mint());
    let id = user.to_string();
    shop.put(NOBODY, &id, product, 7).await.unwrap(); // in advance
    assert_eq!(items(&shop.get(Some(user), "").await.unwrap()), []);
    shop.put(Some(user), &id, product, 2).await.unwrap();
    assert_eq!(items(&shop.get(NOBODY, &id).await.unwrap()), [(product, 7)]);
    shop.clear(NOBODY, &id).await.unwrap();
    assert_eq!(items(&shop.get(Some(user), "").await.unwrap()), [(product, 2)]);

    let refused = shop.put(Some(other), &id, product, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused).as_deref(), Some("cart_not_yours"));
    assert_eq!(shop.get(Some(other), &id).await.unwrap_err().code(), Code::PermissionDenied);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_processes_that_are_named_may_call() {
    let shop = Shop::open().await;
    let cart_id = CartId::mint().to_string();
    for (process, code) in
        [("order", Code::Ok), ("gateway", Code::Ok), ("payment", Code::PermissionDenied)]
    {
        let request = GetCartRequest { cart_id: cart_id.clone() };
        let answer = shop.as_seen_by(process).get_cart(request).await;
        assert_eq!(answer.map_or_else(|status| status.code(), |_| Code::Ok), code, "{process}");
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_its_field() {
    let shop = Shop::open().await;
    let product = ProductId::mint();
    let guest = CartId::mint().to_string();
    for quantity in [i64::MIN, -1, 0, 10_001, i64::MAX] {
        let refused = shop.put(NOBODY, &guest, product, quantity).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{quantity}");
        assert_eq!(fields(&refused)[0].0, "quantity");
    }
    let request = |cart_id: &str, product_id: &str| PutItemRequest {
        cart_id: cart_id.to_owned(),
        product_id: product_id.to_owned(),
        quantity: 1,
    };
    for (cart, item, field) in [
        ("", &*product.to_string(), "cart_id"),
        ("x", "", "cart_id"),
        (&guest, "85123A", "product_id"),
    ] {
        let refused = shop.client.clone().put_item(request(cart, item)).await.unwrap_err();
        assert_eq!((refused.code(), &*fields(&refused)[0].0), (Code::InvalidArgument, field));
    }
    let mut forged = shop.request(NOBODY, GetCartRequest { cart_id: guest });
    forged.metadata_mut().insert("authorization", "Bearer made.up.token".parse().unwrap());
    let refused = shop.client.clone().get_cart(forged).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = shop.merge(NOBODY, CartId::mint()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_are_all_kept() {
    let shop = Shop::open().await;
    let user = UserId::mint();
    let products: Vec<ProductId> = (0..16).map(|_| ProductId::mint()).collect();
    let puts = products.iter().map(|product| shop.put(Some(user), "", *product, 1));
    let answers = futures_util::future::join_all(puts).await;
    let versions: std::collections::BTreeSet<i64> =
        answers.into_iter().map(|answer| answer.unwrap().version).collect();
    assert!(versions.into_iter().eq(1..=16), "every change has a version of its own");
    let cart = shop.get(Some(user), "").await.unwrap();
    let mut kept: Vec<ProductId> = items(&cart).into_iter().map(|(product, _)| product).collect();
    kept.sort_unstable();
    assert_eq!((cart.version, kept), (16, products));
    shop.running.stop().await;
}
