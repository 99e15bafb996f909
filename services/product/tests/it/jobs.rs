//! Catalogues that are imported in the background.

use proto::product::v1::import::State;
use proto::product::v1::start_import_request::Part;
use proto::product::v1::{
    CancelImportRequest, GetImportRequest, Import, ImportProductsRequest, StartImportRequest,
};
use rpc::status::{fields, reason};
use testkit::eventually;
use tonic::{Code, Status};

use crate::importing::file;
use crate::shop::{LIMIT, Shop};

impl Shop {
    /// Sends a whole file.
    async fn start_import(&self, items: Vec<ImportProductsRequest>) -> Result<Import, Status> {
        let end = Part::ItemsSent(items.len() as i64);
        self.send(items.into_iter().map(Part::Item).chain([end]).collect()).await
    }

    async fn send(&self, parts: Vec<Part>) -> Result<Import, Status> {
        let parts = parts.into_iter().map(|part| StartImportRequest { part: Some(part) });
        let request = self.staff(futures_util::stream::iter(parts));
        let answer = self.client.clone().start_import(request).await?;
        Ok(answer.into_inner().import.expect("an import"))
    }

    async fn import_now(&self, id: &str) -> Result<Import, Status> {
        let request = self.staff(GetImportRequest { import_id: id.to_owned() });
        let answer = self.client.clone().get_import(request).await?;
        Ok(answer.into_inner().import.expect("an import"))
    }

    async fn cancel_import(&self, id: &str) -> Result<Import, Status> {
        let request = self.staff(CancelImportRequest { import_id: id.to_owned() });
        let answer = self.client.clone().cancel_import(request).await?;
        Ok(answer.into_inner().import.expect("an import"))
    }

    async fn ended(&self, id: &str) -> Import {
        eventually("the import has ended", LIMIT, async || {
            let import = self.import_now(id).await.ok()?;
            (import.state() != State::Running).then_some(import)
        })
        .await
    }

    /// So many of its items are imported.
    async fn reaches(&self, id: &str, items: i64) -> Import {
        eventually("so much is imported", LIMIT, async || {
            let import = self.import_now(id).await.ok()?;
            (import.items_imported >= items).then_some(import)
        })
        .await
    }

    /// Before a product with a SKU like this is added, by any copy, this happens.
    fn before(&self, sku: &str, what: &str) {
        self.sql(&format!(
            "create function disturb() returns trigger language plpgsql as $$ begin
                 if new.sku like '{sku}' then {what}; end if; return new; end $$;
             create trigger disturb before insert on products for each row execute function disturb()"
        ));
    }

    fn let_go(&self) {
        self.sql("drop trigger disturb on products; drop function disturb");
    }
}

/// As when a lock is not had in time.
const WAIT: &str = "raise exception using errcode = '55P03'";

/// Added, revised, unchanged, stock.
fn done(import: &Import) -> (State, i64, i64, i64, i64) {
    (import.state(), import.added, import.revised, import.unchanged, import.stock_received)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_in_the_background_and_says_how_far_it_is() {
    let shop = Shop::open().await;
    shop.before("%", WAIT);
    let begun = shop.start_import(file("a", 1_200)).await.unwrap();
    assert_eq!((begun.state(), begun.items, begun.items_imported), (State::Running, 1_200, 0));
    assert_eq!(shop.import_now(&begun.import_id).await.unwrap(), begun);
    // The same file meanwhile is the same import, and its items are kept once.
    assert_eq!(shop.start_import(file("a", 1_200)).await.unwrap(), begun);
    let mut other = file("a", 1_200);
    other[7].name = "better".into();
    let refused = shop.start_import(other).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::AlreadyExists, Some("import_running"))
    );
    shop.let_go();
    let import = shop.ended(&begun.import_id).await;
    assert_eq!(done(&import), (State::Done, 1_200, 0, 0, 3_600));
    assert_eq!((import.items_imported, import.version), (1_200, 4), "three chunks");
    let left = format!("select count(*) from import_items where import_id = '{}'", begun.import_id);
    assert_eq!(shop.sql(&left), "0");
    // Again, it is another import that changes nothing.
    let again = shop.start_import(file("a", 1_200)).await.unwrap();
    assert_ne!(again.import_id, begun.import_id);
    assert_eq!(done(&shop.ended(&again.import_id).await), (State::Done, 0, 0, 1_200, 0));
    assert_eq!(shop.drift(), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_sixteen_imports_wait_another_one_does_not() {
    let shop = Shop::open().await;
    shop.before("%", WAIT);
    let mut begun = Vec::new();
    for n in 0..16 {
        begun.push(shop.start_import(file(&format!("s{n}"), 1)).await.unwrap());
    }
    let refused = shop.start_import(file("more", 1)).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::ResourceExhausted, Some("imports_waiting"))
    );
    assert_eq!(shop.sql("select count(*) from import_items"), "16", "nothing is staged in vain");
    // One that is running already is still the answer to its file.
    assert_eq!(shop.start_import(file("s3", 1)).await.unwrap(), begun[3]);
    shop.let_go();
    for import in begun {
        shop.ended(&import.import_id).await;
    }
    shop.start_import(file("more", 1)).await.unwrap();
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_outlives_the_copies_that_work_at_it() {
    let mut shop = Shop::open().await;
    let other = shop.copy().await;
    // Chunks take some time, so that all copies are there for most of them.
    shop.before("%00", "perform pg_sleep(0.05)");
    let begun = shop.start_import(file("a", 8_000)).await.unwrap();
    for part in [500, 3_000] {
        let import = shop.reaches(&begun.import_id, part).await;
        assert_eq!(import.state(), State::Running, "in the middle");
        shop = shop.crash().await;
    }
    let import = shop.ended(&begun.import_id).await;
    assert_eq!(done(&import), (State::Done, 8_000, 0, 0, 24_000));
    let events = "select count(*), count(distinct aggregate_id) from messaging.outbox";
    assert_eq!(shop.sql(events), "8000|8000", "each is added once");
    assert_eq!(shop.drift(), "0");
    other.stop().await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_import_keeps_what_it_has_done_and_does_no_more() {
    let shop = Shop::open().await;
    shop.before("SKU-600", WAIT);
    let begun = shop.start_import(file("a", 700)).await.unwrap();
    shop.reaches(&begun.import_id, 500).await;
    let cancelled = shop.cancel_import(&begun.import_id).await.unwrap();
    assert_eq!(done(&cancelled), (State::Cancelled, 500, 0, 0, 1_500));
    assert_eq!(
        shop.cancel_import(&begun.import_id).await.unwrap(),
        cancelled,
        "as often as you like"
    );
    shop.let_go();
    // Its file may be imported anew, and one that is done cannot be cancelled any more.
    let again = shop.start_import(file("a", 700)).await.unwrap();
    let import = shop.ended(&again.import_id).await;
    assert_eq!(done(&import), (State::Done, 200, 0, 500, 600));
    let late = shop.cancel_import(&again.import_id).await.unwrap_err();
    assert_eq!(
        (late.code(), reason(&late).as_deref()),
        (Code::FailedPrecondition, Some("import_ended"))
    );
    assert_eq!(shop.import_now(&begun.import_id).await.unwrap(), cancelled);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_catalogue_begins_no_import() {
    let shop = Shop::open().await;
    let mut bad = file("a", 1_200);
    bad[1_100].sku = String::new();
    let refused = shop.start_import(bad).await.unwrap_err();
    assert_eq!(fields(&refused)[0].0, "items[1100].sku");
    let mut two = file("a", 2);
    two[1].source = "b".into();
    let refused = shop.start_import(two).await.unwrap_err();
    let expected = ("items[1].source".to_owned(), "the same in the whole file".to_owned());
    assert_eq!(fields(&refused), [expected]);
    let refused = shop.start_import(Vec::new()).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("import_empty"));
    for id in ["", "x", "01890000-0000-7000-8000-0000000000aa"] {
        let missing = shop.import_now(id).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        assert_eq!(shop.cancel_import(id).await.unwrap_err().code(), Code::NotFound);
    }
    let left = "select (select count(*) from products), (select count(*) from imports)";
    assert_eq!(shop.sql(left), "0|0", "a thousand were staged");
    shop.running.stop().await;
}

/// A call that its caller gives up ends like any other, and after 500 items nothing is left to be staged.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_is_not_imported() {
    let shop = Shop::open().await;
    for (items, end) in [(500, None), (500, Some(501)), (3, None), (3, Some(2)), (0, None)] {
        let items = file("a", items).into_iter().map(Part::Item);
        let parts = items.chain(end.map(Part::ItemsSent)).collect();
        let refused = shop.send(parts).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason(&refused).as_deref(), Some("import_cut_off"));
    }
    let left = "select (select count(*) from products), (select count(*) from imports)";
    assert_eq!(shop.sql(left), "0|0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_the_database_refuses_fails_and_the_next_is_done() {
    let shop = Shop::open().await;
    shop.sql("alter table products add constraint odd check (sku <> 'SKU-600')");
    let begun = shop.start_import(file("a", 700)).await.unwrap();
    let next = shop.start_import(file("b", 400)).await.unwrap();
    let import = shop.ended(&begun.import_id).await;
    assert_eq!(done(&import), (State::Failed, 500, 0, 0, 1_500));
    assert_eq!(import.failure, "the database refuses it: odd");
    let late = shop.cancel_import(&begun.import_id).await.unwrap_err();
    assert_eq!(reason(&late).as_deref(), Some("import_ended"));
    assert_eq!(done(&shop.ended(&next.import_id).await), (State::Done, 0, 0, 400, 1_200));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_whatever_passes_and_fails_without_its_items() {
    let shop = Shop::open().await;
    // A column that a release does not find: somebody mends the deployment.
    shop.sql("create sequence tries");
    shop.before("%", "perform nextval('tries'); raise exception using errcode = '42703'");
    let begun = shop.start_import(file("a", 700)).await.unwrap();
    eventually("it was tried twice", LIMIT, async || {
        let tries: i64 = shop.sql("select last_value from tries").parse().ok()?;
        (tries >= 2).then_some(())
    })
    .await;
    assert_eq!(shop.import_now(&begun.import_id).await.unwrap(), begun);
    shop.let_go();
    let import = shop.ended(&begun.import_id).await;
    assert_eq!(done(&import), (State::Done, 700, 0, 0, 2_100));
    shop.sql("insert into imports (import_id, source, digest, items) values (gen_random_uuid(), 'lost', '', 3)");
    let lost = shop.sql("select import_id from imports where source = 'lost'");
    let import = shop.ended(&lost).await;
    assert_eq!(
        (import.state(), &*import.failure),
        (State::Failed, "some of its items are missing")
    );
    shop.running.stop().await;
}
