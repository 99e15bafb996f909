//! The staff account of the configuration.

use std::fs;

use identity::{Role, Verifier};
use proto::user::v1::Role as PbRole;
use testkit::World;

use crate::shop::{PASSWORD, Shop, client, service};

const EMAIL: &str = "staff@souk.example";

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_start_at_once_open_one_staff_account() {
    let world = World::new();
    let url = world.databases("user", 1).remove(0);
    let file = world.folder().join("staff-password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let copy = || {
        let copy = service(&world, &url).arg("--staff-email", EMAIL);
        copy.arg("--staff-password-file", file.display()).start(user::run)
    };
    let (running, other) = tokio::join!(copy(), copy());
    other.stop().await;
    let client = client(&world, &running);
    let shop = Shop { world, url, running, client };
    assert_eq!(shop.sql("select count(*), min(role) from users"), "1|staff");
    let session = shop.sign_in(EMAIL, PASSWORD).await.unwrap();
    assert_eq!(shop.get(&session).await.unwrap().role(), PbRole::Staff);
    let verifier = Verifier::from_pem(&fs::read(shop.world.token_key()).unwrap()).unwrap();
    assert_eq!(verifier.verify(&session.access_token).unwrap().role, Role::Staff);
    let refreshed = shop.refresh(&session.refresh_token).await.unwrap();
    assert_eq!(verifier.verify(&refreshed.access_token).unwrap().role, Role::Staff);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_has_the_email_stays_a_customer() {
    let shop = Shop::open().await;
    shop.register(EMAIL).await.unwrap();
    let file = shop.world.folder().join("staff-password");
    fs::write(&file, "another password").unwrap();
    let copy = service(&shop.world, &shop.url).arg("--staff-email", EMAIL);
    let copy = copy.arg("--staff-password-file", file.display()).start(user::run).await;
    copy.stop().await;
    let session = shop.sign_in(EMAIL, PASSWORD).await.unwrap();
    assert_eq!(shop.get(&session).await.unwrap().role(), PbRole::Customer);
    shop.running.stop().await;
}
