//! What can be asked of carts, and by whom.

use kernel::{CartId, ProductId, UserId};
use proto::cart::v1::{GetCartRequest, PutItemRequest};
use rpc::status::{fields, reason};
use testkit::eventually;
use tonic::Code;

use crate::shop::{LIMIT, NOBODY, SHARDS, Shop, items};

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
    // On a machine that is busy a pool that is still filling may turn somebody away.
    let put = async |product| {
        eventually("the change is made", LIMIT, async || {
            match shop.put(Some(user), "", product, 1).await {
                Ok(cart) => Some(cart),
                Err(refused) if refused.code() == Code::Unavailable => None,
                Err(refused) => panic!("{refused}"),
            }
        })
        .await
    };
    futures_util::future::join_all(products.iter().map(|product| put(*product))).await;
    let cart = shop.get(Some(user), "").await.unwrap();
    let mut kept: Vec<ProductId> = items(&cart).into_iter().map(|(product, _)| product).collect();
    kept.sort_unstable();
    assert_eq!((cart.version, kept), (16, products));
    // Whoever decides on what is no longer true puts two products in one place.
    let places = "select count(distinct position) from cart_lines";
    assert_eq!(shop.sql(user.shard(), places), "16");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_has_at_most_2000_lines_even_when_many_are_put_in_at_once() {
    let shop = Shop::open().await;
    let user = UserId::mint();
    let almost_full = format!(
        "insert into carts (shard, owner, cart_id, version) values ({0}, 'user', '{user}', 1);
         insert into cart_lines (shard, owner, cart_id, product_id, quantity, position)
         select {0}, 'user', '{user}', gen_random_uuid(), 1, n from generate_series(1, 1999) n",
        user.shard().0
    );
    shop.sql(user.shard(), &almost_full);
    let put = async || loop {
        match shop.put(Some(user), "", ProductId::mint(), 1).await {
            Ok(cart) => break Ok(cart.items.len()),
            Err(refused) if refused.code() == Code::Unavailable => {}
            Err(refused) => break Err(reason(&refused)),
        }
    };
    let mut answers = futures_util::future::join_all((0..8).map(|_| put())).await;
    answers.sort_unstable();
    let full = Err(Some("too_many_lines".to_owned()));
    assert_eq!(answers[0], Ok(2_000));
    assert!(answers[1..].iter().all(|answer| *answer == full), "{answers:?}");
    assert_eq!(shop.get(Some(user), "").await.unwrap().items.len(), 2_000);
    shop.running.stop().await;
}
