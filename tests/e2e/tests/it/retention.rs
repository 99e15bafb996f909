//! What is kept for a time goes when that is over, and nothing else; `docs/operations.md` has the same list.

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use operator::{Shop, Signal};
use stores::{Home, Psql, Tools};
use testkit::eventually;

use crate::shopper::SETTLED;

/// More than go at once.
const MANY: &str = "create temporary table n as select n from generate_series(1, 1500) n";

/// Rows of one table.
struct Rows {
    context: &'static str,
    /// Writes `MANY` of them for each row of `of (age)`.
    insert: &'static str,
    /// Ages in which their time is over, and in which it is not.
    over: &'static str,
    kept: &'static str,
    /// The rows that are there, and their time.
    from: &'static str,
    at: &'static str,
}

const TEMPORARY: [Rows; 11] = [
    Rows {
        context: "order",
        insert: "insert into idempotency_keys select 7, gen_random_uuid(), 'key', '', '', now() - age",
        over: "49 h",
        kept: "47 h",
        from: "idempotency_keys",
        at: "created_at",
    },
    Rows {
        context: "order",
        insert: "insert into abandoned_checkouts select 7, gen_random_uuid(), now() - age",
        over: "49 h",
        kept: "47 h",
        from: "abandoned_checkouts",
        at: "abandoned_at",
    },
    Rows {
        context: "payment",
        insert: "insert into webhooks select gen_random_uuid(), now() - age",
        over: "8 days",
        kept: "6 days",
        from: "webhooks",
        at: "received_at",
    },
    Rows {
        context: "user",
        insert: "with f as (
                 insert into families select gen_random_uuid(), (select user_id from users limit 1), now(), now() - age
                 from n, of returning family_id, expires_at
             )
             insert into refresh_tokens
             select sha256(family_id::text::bytea), family_id, now(), expires_at from f",
        over: "1 h",
        kept: "-1 h",
        from: "families left join refresh_tokens using (family_id)",
        at: "families.expires_at",
    },
    Rows {
        context: "cart",
        insert: "insert into merges select 7, gen_random_uuid(), gen_random_uuid(), 1, now() - age",
        over: "31 days",
        kept: "29 days",
        from: "merges",
        at: "merged_at",
    },
    Rows {
        context: "cart",
        insert: "with c as (
                 insert into carts select 7, 'guest', gen_random_uuid(), 1, 'open', null, now() - age
                 from n, of returning cart_id
             )
             insert into cart_lines select 7, 'guest', cart_id, gen_random_uuid(), 1, 1 from c",
        over: "32 days",
        kept: "30 days",
        from: "carts full join cart_lines using (shard, owner, cart_id) where owner = 'guest' and state = 'open'",
        at: "changed_at",
    },
    Rows {
        context: "product",
        insert: "insert into reservations
             select gen_random_uuid(), case n % 2 when 0 then 'rejected' else 'released' end, '{}', '{}', 1, now() - age",
        over: "61 days",
        kept: "59 days",
        from: "reservations where product_ids = '{}'",
        at: "created_at",
    },
    Rows {
        context: "product",
        insert: "insert into changes (product_ids, stock_only, changed_at) select '{}', true, now() - age",
        over: "90 min",
        kept: "10 min",
        from: "changes where product_ids = '{}'",
        at: "changed_at",
    },
    Rows {
        context: "product",
        insert: "insert into imports (import_id, source, digest, state, items, created_at)
             select gen_random_uuid(), 'file', '', 'cancelled', 1, now() - age",
        over: "31 days",
        kept: "29 days",
        from: "imports where source = 'file'",
        at: "created_at",
    },
    Rows {
        context: "product",
        insert: "insert into import_items
             select gen_random_uuid(), 1, 'sku', '', '', '', 1, 'GBP', 0, now() - age",
        over: "90 min",
        kept: "10 min",
        from: "import_items",
        at: "staged_at",
    },
    Rows {
        context: "product",
        insert: "insert into bought_together
             select date_trunc('month', now() - age)::date, gen_random_uuid(), gen_random_uuid(), 1",
        over: "100 days",
        kept: "28 days",
        from: "bought_together",
        at: "month + 31",
    },
];

/// What stays, however old it is: what writes it, and what counts it.
const LASTING: [(&str, &str, &str); 3] = [
    (
        "cart",
        "insert into carts values
             (7, 'user', gen_random_uuid(), 1, 'open', null, now() - interval '400 days'),
             (7, 'user', gen_random_uuid(), 1, 'erased', null, now() - interval '400 days'),
             (7, 'guest', gen_random_uuid(), 1, 'merging', gen_random_uuid(), now() - interval '400 days')",
        "carts where changed_at < now() - interval '399 days'",
    ),
    (
        "product",
        "insert into reservations select gen_random_uuid(), state, array[gen_random_uuid()], '{1}', 1, now() - interval '400 days'
         from unnest('{held,shipped,sold}'::text[]) state",
        "reservations where cardinality(product_ids) = 1 and state <> 'rejected'",
    ),
    // A return that came before its order, of which there was not enough then.
    (
        "product",
        "with r as (
             insert into reservations
             select gen_random_uuid(), 'rejected', array[gen_random_uuid()], '{1}', 1, now() - interval '400 days'
             from generate_series(1, 3) returning order_id
         )
         insert into returns select order_id, gen_random_uuid(), '{}', '{}', now() from r",
        "reservations join returns using (order_id)",
    ),
];

pub async fn what_is_over_is_deleted_and_nothing_else() -> Result<()> {
    let shop = shops::open("retention", |_| ()).await?;
    let done = expire(&shop).await;
    shops::close_after("retention", shop, done).await
}

async fn expire(shop: &Shop) -> Result<()> {
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
    let run = |context: &str, sql: &str| -> Result<String> {
        Ok(psql.run(shop.database_urls(context).first().context("no database")?, sql)?)
    };
    let count = |context: &str, from: &str| -> Result<String> {
        Ok(run(context, &format!("select count(*) from {from}"))?.trim().to_owned())
    };
    for Rows { context, insert, over, kept, .. } in TEMPORARY {
        let ages = format!(
            "create temporary table of as values ('{over}'::interval), ('{kept}'::interval)"
        );
        let from = if insert.contains("from n, of") { "" } else { "from n, of" };
        let rename = "alter table of rename column column1 to age";
        run(context, &format!("{MANY}; {ages}; {rename}; {insert} {from}"))?;
    }
    for (context, insert, _) in LASTING {
        run(context, insert)?;
    }
    for context in ["order", "payment", "user", "cart", "product"] {
        let killed = shop.process(context);
        shop.kill(context, Signal::KILL)?; // it looks when it starts, and each hour
        shop.ready_after(context, killed).await?;
    }
    for Rows { context, from, .. } in TEMPORARY {
        let what = format!("half of {from} is gone");
        let half = async || (count(context, from).ok()? == "1500").then_some(());
        eventually(&what, SETTLED, half).await;
    }
    for (context, _, from) in LASTING {
        let left = count(context, from)?;
        ensure!(left == "3", "{from}: {left}");
    }
    for Rows { context, from, at, kept, .. } in TEMPORARY {
        let young = format!(
            "(select {at} as at from {from}) r where at > now() - interval '{kept}' - interval '30 min'"
        );
        let left = count(context, &young)?;
        ensure!(left == "1500", "of those that are to stay {left} are left: {from}");
    }
    Ok(())
}
