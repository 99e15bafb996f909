//! Addresses of many callers in one call: each has a token of its own, and an answer.

use identity::batch::status;
use proto::batch::v1::Member;
use proto::user::v1::BatchGetAddressesRequest;
use proto::user::v1::batch_get_addresses_request::Entry;
use proto::user::v1::batch_get_addresses_response::result::Result as Got;
use tonic::{Code, Status};

use crate::shop::Shop;

impl Shop {
    /// The cities of addresses.
    async fn cities(&self, asked: &[(&str, &str)]) -> Result<Vec<Result<String, Status>>, Status> {
        let entry = |(token, id): &(&str, &str)| Entry {
            member: Some(Member {
                access_token: (*token).to_owned(),
                timeout_ms: 10_000,
                traceparent: String::new(),
            }),
            address_id: (*id).to_owned(),
        };
        let request = BatchGetAddressesRequest { entries: asked.iter().map(entry).collect() };
        let results = self.as_order().batch_get_addresses(request).await?.into_inner().results;
        let city = results.into_iter().map(|it| match it.result.expect("a result") {
            Got::Address(address) => Ok(address.city),
            Got::Refusal(refusal) => Err(status(refusal)),
        });
        Ok(city.collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_gets_an_address_of_its_own_or_a_refusal_of_its_own() {
    let shop = Shop::open().await;
    let [ann, bob, eve] = ["ann@example.com", "bob@example.com", "eve@example.com"];
    let (ann, bob, eve) =
        (shop.somebody(ann).await, shop.somebody(bob).await, shop.somebody(eve).await);
    shop.add_address(&ann, "Fez").await.unwrap();
    let second = shop.add_address(&ann, "Rabat").await.unwrap().address_id;
    shop.add_address(&bob, "Tangier").await.unwrap();
    let [ann, bob, eve] = [&ann, &bob, &eve].map(|it| &*it.access_token);
    let asked = [
        (ann, ""),
        (bob, ""),
        (ann, &*second),
        (bob, &*second),
        (eve, ""),
        ("nonsense", ""),
        (ann, "no id"),
        (bob, ""),
    ];
    let cities = shop.cities(&asked).await.unwrap();
    let told = cities.iter().map(|it| it.as_deref().map_err(Status::code));
    let expected = [
        Ok("Fez"),
        Ok("Tangier"),
        Ok("Rabat"),
        Err(Code::NotFound),
        Err(Code::NotFound),
        Err(Code::Unauthenticated),
        Err(Code::InvalidArgument),
        Ok("Tangier"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let refused = shop.cities(&[(ann, ""); 65]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("at most 64"), "{refused:?}");
    shop.running.stop().await;
}
