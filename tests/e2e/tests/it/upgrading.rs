//! What the last release wrote, today's services read: `tests/baseline` has the rows of one customer's order,
//! and what that release answered about it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use operator::api::Api;
use operator::plan::CONTEXTS;
use operator::{Shop, Signal};
use serde_json::{Value, json};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};
use stores::{Home, Psql, Tools};

use crate::shopper::{PASSWORD, SETTLED, Shopper, Staff, fresh, text};

/// Set, it makes the test write the rows before it reads them: at a release.
const WRITE: &str = "SOUK_WRITE_BASELINE";

/// The tables and their rows, those that others refer to first. What the database computes is left out.
const ROWS: &str = "
    select format(
        'select jsonb_build_object(''table'', %L, ''rows'', coalesce(jsonb_agg(to_jsonb(t) - %L::text[]), ''[]'')) from %s t',
        c.oid::regclass, array(select attname::text from pg_attribute where attrelid = c.oid and attgenerated <> ''), c.oid::regclass)
    from pg_class c
    where relnamespace in ('public'::regnamespace, 'messaging'::regnamespace)
      and relkind in ('r', 'p') and not relispartition and relname !~ '_migrations$'
    order by (select count(*) from pg_constraint where conrelid = c.oid and contype = 'f'), relname
    \\gexec\n";

/// Numbers go on after those that were given out.
const NUMBERS_GO_ON: &str = "
    select format('alter table %I.%I alter column %I restart with 1000000', table_schema, table_name, column_name)
    from information_schema.columns
    where is_identity = 'YES' and table_name !~ '_([0-9]{8}|rest)$'
    \\gexec\n";

pub async fn what_the_last_release_wrote_is_read() -> Result<()> {
    let shop = shops::open("upgrading", |options| {
        options.shards = 1;
        options.restart = false; // services stand still while their databases are changed
    });
    let shop = shop.await?;
    let done = upgrade(&shop).await;
    shops::close_after("upgrading", shop, done).await
}

async fn upgrade(shop: &Shop) -> Result<()> {
    if std::env::var_os(WRITE).is_some() {
        record(shop).await?;
    }
    let services = CONTEXTS.map(|(context, _)| context);
    for service in services {
        shop.kill(service, Signal::KILL)?;
        shop.gone(service, SETTLED).await?;
        restore(service, url(shop, service)?).await.with_context(|| service.to_owned())?;
    }
    for service in services {
        shop.revive(service).await?;
    }
    let then: Value = serde_json::from_str(&fs::read_to_string(rows_of("answers")?)?)?;
    let api = Api::new(&shop.urls()[0]);
    let (email, card) = (text(&then, "email"), text(&then, "card"));
    let token = api.sign_in(&email, PASSWORD).await?;
    let customer = Shopper { api, email, token, card };
    let now = answers(&customer, &text(&then, "key"), &text(&then, "order")).await?;
    let mut lost = Vec::new();
    compare("", &then["answers"], &now, &mut lost);
    ensure!(lost.is_empty(), "the last release said otherwise:\n  {}", lost.join("\n  "));
    let next = customer.checkout(&fresh()).await?.json()?;
    customer.reaches(&next, "confirmed").await?;
    Ok(())
}

/// An order of three, of which one piece comes back, and a cart with two for another day.
async fn record(shop: &Shop) -> Result<()> {
    let (staff, customer) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let (product, key) = (staff.product(10).await?, fresh());
    customer.put_in_cart(&product, 3).await?;
    let order: Value = customer.checkout(&key).await?.json()?;
    customer.reaches(&order, "confirmed").await?;
    customer.cart_is_empty().await;
    let (id, back) = (text(&order, "order_id"), fresh());
    customer.send_back(&order, &back, &product, 1).await?;
    staff.receive(&order, &back, &product, 1).await?;
    customer.is_refunded(&order, 250).await;
    staff.stock_is(&product, 8, 0, 2).await;
    customer.put_in_cart(&product, 2).await?;
    let places = audit::Places::of(shop);
    ensure!(audit::until_quiet(&places, SETTLED).await?, "nothing is under way");

    let answers = answers(&customer, &key, &id).await?;
    let (email, card) = (&customer.email, &customer.card);
    let all = json!({ "email": email, "card": card, "key": key, "order": id, "answers": answers });
    fs::write(rows_of("answers")?, format!("{all:#}\n"))?;
    for (context, _) in CONTEXTS {
        let lines = psql()?.run(url(shop, context)?, ROWS)?;
        let tables: Vec<Value> =
            lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        fs::write(rows_of(context)?, format!("{:#}\n", Value::from(tables)))?;
    }
    Ok(())
}

/// What a customer is told about all that is there.
async fn answers(customer: &Shopper, key: &str, order: &str) -> Result<Value> {
    let mut answers = json!({ "checkout": customer.checkout(key).await?.json::<Value>()? });
    let order = format!("/v1/orders/{order}");
    let payment = format!("{order}/payment");
    for path in ["/v1/me", "/v1/cart", "/v1/payment-methods", "/v1/orders", &order, &payment] {
        answers[path] = customer.get(path).await?;
    }
    Ok(answers)
}

/// A database as the last release left it.
async fn restore(context: &str, url: &str) -> Result<()> {
    let psql = psql()?;
    psql.run(url, "drop schema public, messaging cascade; create schema public;")?;
    let mut database = PgConnection::connect(url).await?;
    let mut messaging = Migrator::new(baseline()?.join("migrations/messaging")).await?;
    messaging.create_schema("messaging");
    messaging.dangerous_set_table_name("messaging._migrations");
    messaging.run(&mut database).await?;
    Migrator::new(baseline()?.join("migrations").join(context)).await?.run(&mut database).await?;
    database.close().await?;

    let tables: Vec<Value> = serde_json::from_str(&fs::read_to_string(rows_of(context)?)?)?;
    psql.run(url, &tables.iter().map(insert).collect::<Result<String>>()?)?;
    psql.run(url, NUMBERS_GO_ON)?;
    if context == "order" {
        // The reply to a checkout is kept for a day only: let it be of today.
        psql.run(url, "update idempotency_keys set created_at = now()")?;
    }
    Ok(())
}

fn insert(table: &Value) -> Result<String> {
    let (name, rows) = (text(table, "table"), &table["rows"]);
    let Some(Value::Object(first)) = rows.get(0) else { return Ok(String::new()) };
    let columns = first.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "delete from {name};
         insert into {name} ({columns}) overriding system value
         select {columns} from jsonb_populate_recordset(null::{name}, $rows${rows}$rows$);\n"
    ))
}

/// Whatever was said then is said now; there may be more.
fn compare(path: &str, then: &Value, now: &Value, lost: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, then) in then {
                let now = now.get(key).unwrap_or(&Value::Null);
                compare(&format!("{path} {key}"), then, now, lost);
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            let pairs = then.iter().zip(now).enumerate();
            pairs.for_each(|(at, (then, now))| compare(&format!("{path} {at}"), then, now, lost));
        }
        _ if then == now => {}
        _ => lost.push(format!("{path}: {then}, now {now}")),
    }
}

fn url<'a>(shop: &'a Shop, context: &str) -> Result<&'a str> {
    shop.database_urls(context).first().map(String::as_str).context("no database")
}

fn psql() -> Result<Psql> {
    Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")
}

fn baseline() -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a crate is in a folder")?;
    Ok(tests.join("baseline"))
}

fn rows_of(context: &str) -> Result<PathBuf> {
    Ok(baseline()?.join("rows").join(format!("{context}.json")))
}
