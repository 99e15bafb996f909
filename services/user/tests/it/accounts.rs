//! Opening accounts, and what is in them.

use identity::{Role, Verifier};
use kernel::AddressId;
use proto::user::v1::{
    AddAddressRequest, Address, GetUserRequest, RegisterRequest, Role as PbRole, UpdateUserRequest,
    UserRegistered,
};
use rpc::status::{fields, reason};
use testkit::Published;
use tonic::Code;

use crate::shop::{PASSWORD, Shop, by};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_registers_can_sign_in_and_is_who_they_are() {
    let shop = Shop::open().await;
    let mut published = Published::by(&shop.world, "user").await;
    let user = shop.register("Ann@Shop.Example").await.unwrap();
    assert_eq!((user.email.as_str(), user.name.as_str()), ("ann@shop.example", "Ann"));
    assert_eq!(user.role(), PbRole::Customer);
    assert_eq!(published.expect::<UserRegistered>().await.user_id, user.user_id);

    let session = shop.sign_in("ANN@shop.example", PASSWORD).await.unwrap();
    assert_eq!((session.expires_in_seconds, &session.user_id), (600, &user.user_id));
    let verifier = Verifier::from_pem(&std::fs::read(shop.world.token_key()).unwrap()).unwrap();
    let caller = verifier.verify(&session.access_token).unwrap();
    assert_eq!((caller.user.to_string(), caller.role), (user.user_id.clone(), Role::Customer));
    assert_eq!(shop.get(&session).await.unwrap(), user);

    let request = by(&session, UpdateUserRequest { name: " Ann Smith ".to_owned() });
    let renamed = shop.client.clone().update_user(request).await.unwrap().into_inner().user;
    assert_eq!(renamed.unwrap().name, "Ann Smith");
    assert_eq!(shop.get(&session).await.unwrap().name, "Ann Smith");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_has_one_account_however_many_ask_at_once() {
    let shop = Shop::open().await;
    let emails = ["bob@shop.example", "BOB@shop.example", "Bob@Shop.Example"];
    let tries = emails.iter().map(|email| shop.register(email));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert_eq!(reason(&refused).as_deref(), Some("email_taken"));
    }
    assert_eq!(shop.sql("select count(*) from users"), "1");
    assert_eq!(shop.sql("select count(*) from messaging.outbox"), "1");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_every_field_at_fault() {
    let shop = Shop::open().await;
    let named = |status: tonic::Status| -> Vec<String> {
        assert_eq!(status.code(), Code::InvalidArgument);
        fields(&status).into_iter().map(|(field, _)| field).collect()
    };
    let request = RegisterRequest {
        email: "nobody".to_owned(),
        password: "short".to_owned(),
        name: String::new(),
    };
    let refused = shop.client.clone().register(request).await.unwrap_err();
    assert_eq!(named(refused), ["email", "password", "name"]);

    let session = shop.somebody("cid@shop.example").await;
    let request = by(&session, AddAddressRequest { address: None });
    let refused = shop.client.clone().add_address(request).await.unwrap_err();
    assert_eq!(named(refused), ["recipient", "line1", "city", "postcode", "country"]);
    assert_eq!(named(shop.address(&session, "home").await.unwrap_err()), ["address_id"]);
    let request = by(&session, UpdateUserRequest { name: "\u{0}".to_owned() });
    assert_eq!(named(shop.client.clone().update_user(request).await.unwrap_err()), ["name"]);

    let anonymous = shop.client.clone().get_user(GetUserRequest {}).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::Unauthenticated);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_address_is_the_default_and_nobody_sees_anothers() {
    let shop = Shop::open().await;
    let (ann, bob) = (shop.somebody("a@b.example").await, shop.somebody("c@d.example").await);
    let missing = shop.address(&ann, "").await.unwrap_err();
    assert_eq!(
        (missing.code(), reason(&missing).as_deref()),
        (Code::NotFound, Some("address_missing"))
    );

    let first = shop.add_address(&ann, "Leeds").await.unwrap();
    let second = shop.add_address(&ann, "York").await.unwrap();
    assert_eq!((first.city.as_str(), first.country.as_str()), ("Leeds", "GB"));
    assert_eq!(shop.address(&ann, "").await.unwrap(), first);
    assert_eq!(shop.address(&ann, &second.address_id).await.unwrap(), second);
    assert_eq!(shop.get(&ann).await.unwrap().addresses, [first, second.clone()]);

    for id in [second.address_id, AddressId::mint().to_string()] {
        let refused = shop.address(&bob, &id).await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("address_not_found"));
    }
    let full =
        "insert into addresses (user_id, address_id, recipient, line1, line2, city, postcode,
        country) select user_id, gen_random_uuid(), 'r', 'l', '', 'c', 'p', 'GB'
        from users, generate_series(1, 50) where email = 'c@d.example'";
    shop.sql(full);
    let refused = shop.add_address(&bob, "Hull").await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("too_many_addresses"));
    assert_ne!(shop.address(&bob, "").await.unwrap(), Address::default());
    shop.running.stop().await;
}
