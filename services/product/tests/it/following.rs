//! What is kept in memory is shown as long as the database says that it has not changed.

use std::time::{Duration, Instant};

use kernel::{OrderId, ProductId};
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{ListProductChangesRequest, ListProductChangesResponse};
use rpc::Channel;
use testkit::eventually;
use tonic::{Code, Status};

use crate::shop::{LIMIT, Orders, Shop};

/// A value lives for half a second when nobody confirms it.
const LONG: Duration = Duration::from_secs(2);
/// Much more than that, and less than what is confirmed may live.
const STALE_MAX: Duration = Duration::from_secs(10);

async fn changes(
    client: &ProductServiceClient<Channel>,
    since_level: i64,
) -> Result<ListProductChangesResponse, Status> {
    let request = ListProductChangesRequest { since_level };
    Ok(client.clone().list_product_changes(request).await?.into_inner())
}

/// The first answer that has what is looked for.
async fn changed(
    client: &ProductServiceClient<Channel>,
    since: i64,
    what: &str,
    is_it: impl Fn(&ListProductChangesResponse) -> bool,
) -> ListProductChangesResponse {
    eventually(what, STALE_MAX, async || changes(client, since).await.ok().filter(&is_it)).await
}

/// As no change is ever made: no trigger notes it.
pub(crate) fn rename_unnoticed(shop: &Shop, id: ProductId, name: &str) {
    shop.sql("alter table products disable trigger products_changed");
    shop.rename(id, name);
    shop.sql("alter table products enable trigger products_changed");
}

async fn shows(shop: &Shop, id: ProductId, name: &str) {
    let shown =
        eventually(name, STALE_MAX, async || (shop.product(id).await.name == name).then_some(()));
    shown.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_shown_from_memory_for_long() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 3).await;
    let mut number = 0;
    // A busy machine may hear nothing for half a second: then it is tried again.
    let kept = eventually("it is kept for long", LIMIT, async || {
        number += 1;
        let before = shop.product(cup).await.name;
        rename_unnoticed(&shop, cup, &format!("cup {number}"));
        let began = Instant::now();
        let long = eventually("long after, or read again", LIMIT, async || {
            let read_again = shop.product(cup).await.name != before;
            (read_again || began.elapsed() > LONG).then_some(!read_again)
        });
        long.await.then_some(())
    });
    kept.await;
    shop.rename(cup, "mug");
    shows(&shop, cup, "mug").await;
    shop.running.stop().await;
}

/// Transactions end in another order than they begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_committed_late_is_heard_of() {
    let shop = Shop::open().await;
    let (cup, plate) = (shop.add("cup", 3).await, shop.add("plate", 3).await);
    tokio::join!(shows(&shop, cup, "cup"), shows(&shop, plate, "plate"));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            let rename = "update products set name = 'late cup' where name = 'cup'";
            shop.sql(&format!("begin; {rename}; select pg_sleep(2); commit"))
        });
        let mut number = 0;
        while !late.is_finished() {
            number += 1;
            let name = format!("plate {number}");
            shop.rename(plate, &name);
            tokio::task::block_in_place(|| {
                let shown = async {
                    shows(&shop, plate, &name).await;
                    shop.product(cup).await; // read again, if it was forgotten for its own sake
                };
                tokio::runtime::Handle::current().block_on(shown);
            });
        }
    });
    shows(&shop, cup, "late cup").await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_copy_tells_what_has_changed_since_another_was_asked() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let copy = shop.copy().await;
    let other =
        ProductServiceClient::new(shop.world.channel("gateway", "product", &[copy.address]));
    let named = |it: &ListProductChangesResponse, id: ProductId| {
        it.everything || it.product_ids.contains(&id.to_string())
    };
    let all = changed(&shop.client, 0, "it is known", |_| true).await;
    assert!(all.everything && all.catalogue && all.product_ids.is_empty(), "{all:?}");
    let (cup, plate) = (shop.add("cup", 9).await, shop.add("plate", 9).await);
    let added = changed(&shop.client, all.level, "both", |it| named(it, cup) && named(it, plate));
    let mut since = added.await.level;
    let nothing = changed(&shop.client, since, "an answer", |_| true).await;
    assert!(!nothing.everything && nothing.product_ids.is_empty(), "{nothing:?}");
    // What another copy saw first may be no news here yet, and is named as soon as it is.
    changed(&other, 0, "the other has caught up", |it| it.level >= since).await;

    shop.rename(cup, "mug");
    let here = changed(&shop.client, since, "here", |it| named(it, cup)).await;
    assert!(here.catalogue && !here.everything && !named(&here, plate), "{here:?}");
    let there = changed(&other, since, "there", |it| named(it, cup) && it.level >= here.level);
    since = there.await.level;

    orders.placed(OrderId::mint(), &[(plate, 2)]).await;
    let there = changed(&other, since, "stock", |it| named(it, plate)).await;
    assert!(!there.catalogue && !named(&there, cup), "{there:?}");

    let often =
        "do $$ begin for n in 1..1001 loop update stock set on_hand = on_hand; end loop; end $$";
    shop.sql(often);
    let many = changed(&other, there.level, "too many to be named", |it| it.everything).await;
    assert!(many.product_ids.is_empty());
    copy.stop().await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_does_not_say_what_changes_nothing_is_kept_for_long() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 3).await;
    shows(&shop, cup, "cup").await;
    std::thread::scope(|scope| {
        let silent =
            "begin; lock table changes in access exclusive mode; select pg_sleep(12); commit";
        let silent = scope.spawn(|| shop.sql(silent));
        tokio::task::block_in_place(|| {
            let unknown = async {
                let refused = eventually("it is not known", STALE_MAX, async || {
                    changes(&shop.client, 0).await.err()
                });
                assert_eq!(refused.await.code(), Code::Unavailable);
                rename_unnoticed(&shop, cup, "mug");
                shows(&shop, cup, "mug").await;
            };
            tokio::runtime::Handle::current().block_on(unknown);
        });
        assert!(!silent.is_finished(), "it was shown after the silence");
    });
    changed(&shop.client, 0, "it is known again", |_| true).await;
    shop.running.stop().await;
}
