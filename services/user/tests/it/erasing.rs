//! Erasing an account: everything personal goes, the rest of the shop hears of it once.

use kernel::UserId;
use proto::user::v1::{AddAddressRequest, UpdateUserRequest, UserErased, UserRegistered};
use rpc::status::reason;
use testkit::{Published, World};
use tonic::Code;

use crate::shop::{PASSWORD, Shop, address, by};

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_account_leaves_an_id_and_nothing_else() {
    let shop = Shop::open_with(World::new(), None).await;
    let mut published = Published::by(&shop.world, "user").await;
    let session = shop.somebody("ann@shop.example").await;
    shop.add_address(&session, "Leeds").await.unwrap();
    shop.erase(&session).await.unwrap();
    shop.erase(&session).await.unwrap();

    assert_eq!(shop.sql("select email, name, password_hash from users"), "||");
    let left = "select (select count(*) from addresses) + (select count(*) from families)
        + (select count(*) from refresh_tokens)";
    assert_eq!(shop.sql(left), "0");
    published.expect::<UserRegistered>().await;
    assert_eq!(published.expect::<UserErased>().await.user_id, session.user_id);
    assert_eq!(shop.sql("select count(*) from messaging.outbox"), "2", "once");

    // Without Redis the access token lives on for minutes; it finds nothing.
    let gone = shop.get(&session).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).as_deref()), (Code::NotFound, Some("user_not_found")));
    let request = by(&session, UpdateUserRequest { name: "Ann".to_owned() });
    let gone = shop.client.clone().update_user(request).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let request = by(&session, AddAddressRequest { address: Some(address("York")) });
    let gone = shop.client.clone().add_address(request).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let ended = shop.refresh(&session.refresh_token).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    let refused = shop.sign_in("ann@shop.example", PASSWORD).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("bad_credentials"));

    let again = shop.register("ann@shop.example").await.unwrap();
    assert_ne!(again.user_id, session.user_id, "a new account with the old e-mail");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_account_has_nothing_to_erase() {
    let shop = Shop::open().await;
    let mut session = shop.somebody("ann@shop.example").await;
    let stranger = shop.world.bearer(UserId::mint(), identity::Role::Customer);
    session.access_token = stranger.trim_start_matches("Bearer ").to_owned();
    shop.erase(&session).await.unwrap();
    assert_eq!(shop.sql("select count(*) from users where erased_at is not null"), "0");
    assert_eq!(shop.sql("select count(*) from messaging.outbox"), "1");
    shop.running.stop().await;
}
