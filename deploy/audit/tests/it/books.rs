//! The records of a small shop: databases with the services' own migrations, and a provider.
//!
//! Two orders of one product: three pieces sold of which one came back, and one order that was
//! cancelled after its money had been taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use audit::{Places, Verdict};
use http::Method;
use kernel::{OrderId, ProductId, Shard};
use operator::http::{Client, full};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::World;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Books {
    world: World,
    places: Places,
    provider: Client,
    running: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
    pub sold: OrderId,
    pub cancelled: OrderId,
    pub product: ProductId,
}

impl Books {
    pub async fn open() -> Self {
        let world = World::new();
        let databases = [("order", 2), ("product", 1), ("payment", 1), ("cart", 1)];
        let migrated =
            databases.map(|(context, shards)| (context, migrated(&world, context, shards)));
        let config = psp::Config::new(world.folder().join("provider"));
        let server = psp::Server::bind(config).await.unwrap();
        let psp_url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel();
        let serve = server.serve(async { stopped.await.unwrap_or_default() });
        let databases: BTreeMap<_, _> =
            migrated.into_iter().map(|(context, urls)| (context.to_owned(), urls)).collect();
        let books = Self {
            world,
            provider: Client::new(&psp_url),
            places: Places { databases, psp_url },
            running: Some((stop, tokio::spawn(serve))),
            sold: OrderId::mint_on(Shard(0)),
            cancelled: OrderId::mint_on(Shard(255)),
            product: ProductId::mint(),
        };
        books.write();
        for (order, taken, given_back) in [(books.sold, 750, 250), (books.cancelled, 250, 250)] {
            let capture = books.charge(&order.to_string(), order, taken).await;
            books.give_back(&capture, given_back).await;
        }
        books
    }

    pub async fn close(mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    #[expect(clippy::too_many_lines, reason = "SQL, a statement after the other")]
    fn write(&self) {
        let Self { sold, cancelled, product, .. } = *self;
        let order = |id: OrderId, state: &str, reason: &str, total: i64, refunded: i64| {
            let shard = id.shard().column();
            format!(
                "insert into orders (shard, order_id, user_id, cart_id, cart_version, state, \
                 cancel_reason, payment_method_id, currency, total_minor, refunded_minor, \
                 deadline_at, ended_at) values ({shard}, '{id}', '{id}', '{id}', 1, '{state}', \
                 {reason}, '{id}', 'GBP', {total}, {refunded}, now(), now()); \
                 insert into messaging.outbox (shard, event_id, aggregate_id, type, subject, \
                 payload, published_at) values ({shard}, '{}', '{id}', \
                 'souk.order.v1.OrderPlaced', 's', '', now());",
                OrderId::mint()
            )
        };
        self.sql("order 0", &order(sold, "confirmed", "null", 750, 250));
        self.sql("order 1", &order(cancelled, "cancelled", "'customer'", 250, 0));
        self.sql("order 0", &format!(
            "insert into order_lines (shard, order_id, line_no, product_id, sku, name, quantity, \
             unit_price_minor, returned) values (0, '{sold}', 1, '{product}', 's', 'n', 3, 250, 1); \
             insert into returns (shard, order_id, return_id, items, refund_minor, state, received, \
             decided_by, decided_at, reason, refunded_at) values (0, '{sold}', '{sold}', '[]', 250, \
             'received', '[]', '{sold}', now(), '', now());"
        ));
        self.sql(
            "product",
            &format!(
                "insert into products (product_id, sku, name, description, category, price_minor, \
             currency) values ('{product}', 's', 'n', '', 'c', 250, 'GBP'); \
             insert into stock values ('{product}', 10, 8, 0, 2); \
             insert into receipts values ('r', '{product}', 10); \
             insert into reservations values ('{sold}', 'shipped', '{{{product}}}', '{{3}}', 1), \
             ('{cancelled}', 'released', '{{{product}}}', '{{1}}', 1); \
             insert into returns values ('{sold}', '{sold}', '{{{product}}}', '{{1}}');"
            ),
        );
        self.sql(
            "payment",
            &format!(
                "insert into payments (order_id, state, user_id, payment_method_id, currency, \
             amount_minor, capture_id, pay_by, called_at) values ('{sold}', 'captured', '{sold}', \
             '{sold}', 'GBP', 750, 'c-{sold}', now(), now() - interval '1 s'); \
             insert into refunds (order_id, refund_id, currency, amount_minor, transfer_id, \
             refunded_at) values ('{sold}', '{sold}', 'GBP', 250, 'r-{sold}', now());"
            ),
        );
        for (order, taken, given_back) in [(sold, 750, 250), (cancelled, 250, 250)] {
            self.sql(
                "payment",
                &format!(
                    "insert into ledger values ('c-{order}', '{order}', 'psp_clearing', \
                 'customer_receipts', 'GBP', {taken}), ('r-{order}', '{order}', 'refunds', \
                 'psp_clearing', 'GBP', {given_back});"
                ),
            );
        }
    }

    /// Runs statements in a database: `product`, or `order 1` for the second shard.
    pub fn sql(&self, database: &str, statements: &str) {
        let (context, shard) = database.split_once(' ').unwrap_or((database, "0"));
        let url = &self.places.databases[context][shard.parse::<usize>().unwrap()];
        self.world.sql(url, statements);
    }

    /// Has the provider charge a card for an order; the id of the capture.
    pub async fn charge(&self, key: &str, order: OrderId, minor_units: i64) -> String {
        let body = json!({ "card_token": "tok_approve", "reference": order.to_string(),
            "amount": { "currency": "GBP", "minor_units": minor_units } });
        let answer = self.post("/v1/captures", key, &body).await;
        answer["capture_id"].as_str().unwrap().to_owned()
    }

    async fn give_back(&self, capture: &str, minor_units: i64) {
        let amount = json!({ "currency": "GBP", "minor_units": minor_units });
        self.post("/v1/refunds", capture, &json!({ "capture_id": capture, "amount": amount }))
            .await;
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Value {
        let request = self.provider.request(Method::POST, path).header("idempotency-key", key);
        let request = request.header("content-type", "application/json");
        let request = request.body(full(body.to_string())).unwrap();
        let answer = self.provider.send(request, Duration::from_secs(10)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json().unwrap()
    }

    /// What the auditor says, without waiting for anything to mend itself.
    pub async fn verdict(&self) -> Verdict {
        let acknowledged = [self.sold, self.cancelled];
        audit::audit(&self.places, &acknowledged, Duration::ZERO).await.unwrap().verdict
    }
}

/// Databases with the migrations that the service itself would run.
fn migrated(world: &World, context: &str, shards: usize) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = [root.join("libs/messaging"), root.join("services").join(context)];
    let urls = world.databases(context, shards);
    for url in &urls {
        world.sql(url, "create schema messaging;");
        for folder in &folders {
            let files = fs::read_dir(folder.join("migrations")).unwrap();
            let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            files.sort();
            files.iter().for_each(|file| {
                world.sql(url, &fs::read_to_string(file).unwrap());
            });
        }
    }
    urls
}
