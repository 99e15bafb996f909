//! What is kept for a time goes when that is over, and not before; `docs/operations.md` has the same list.

use anyhow::{Context as _, Result};
use e2e::shops;
use operator::{Shop, Signal};
use stores::{Home, Psql, Tools};
use testkit::eventually;

use crate::shopper::SETTLED;

/// Rows of which half are over: more of the old ones than go at once. A context, a statement that writes them
/// (`g` counts; `old` says which), and what counts the others.
const ROWS: [(&str, &str, &str); 7] = [
    (
        "order",
        "insert into idempotency_keys
         select 7, gen_random_uuid(), 'key', '', '', now() - case when old then '49 h' else '47 h' end::interval",
        "idempotency_keys where created_at > now() - interval '48 h'",
    ),
    (
        "order",
        "insert into abandoned_checkouts
         select 7, gen_random_uuid(), now() - case when old then '49 h' else '47 h' end::interval",
        "abandoned_checkouts where abandoned_at > now() - interval '48 h'",
    ),
    (
        "payment",
        "insert into webhooks
         select 'hook-' || g, now() - case when old then '8 days' else '6 days' end::interval",
        "webhooks where received_at > now() - interval '7 days'",
    ),
    (
        "user",
        "with f as (
             insert into families
             select gen_random_uuid(), (select user_id from users limit 1), now(),
                 now() + case when old then '-1 h' else '1 h' end::interval
             from all_rows returning family_id, expires_at
         )
         insert into refresh_tokens select sha256(family_id::text::bytea), family_id, now(), expires_at from f
         where true",
        "families f join refresh_tokens using (family_id) where f.expires_at > now()",
    ),
    (
        "cart",
        "insert into merges
         select 7, gen_random_uuid(), gen_random_uuid(), 1, now() - case when old then '31 days' else '29 days' end::interval",
        "merges where merged_at > now() - interval '30 days'",
    ),
    (
        "cart",
        "with c as (
             insert into carts
             select 7, 'guest', gen_random_uuid(), 1, 'open', null,
                 now() - case when old then '32 days' else '30 days' end::interval
             from all_rows returning cart_id
         )
         insert into cart_lines select 7, 'guest', cart_id, gen_random_uuid(), 1, 1 from c where true",
        "carts join cart_lines using (shard, owner, cart_id) where changed_at > now() - interval '31 days'",
    ),
    (
        "product",
        "insert into reservations
         select gen_random_uuid(), case g % 3 when 0 then 'rejected' else 'released' end, '{}', '{}', 1,
             now() - case when old then '61 days' else '59 days' end::interval",
        "reservations where created_at > now() - interval '60 days'",
    ),
];

pub async fn what_is_over_is_deleted_and_nothing_else() -> Result<()> {
    let shop = shops::open("retention", |_| ()).await?;
    let done = expire(&shop).await;
    shops::close_after("retention", shop, done).await
}

async fn expire(shop: &Shop) -> Result<()> {
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
    for (context, rows, _) in ROWS {
        let url = shop.database_urls(context).first().context("no database")?;
        let from = if rows.contains("from all_rows") { "" } else { " from all_rows" };
        let numbers = "create temporary table all_rows as
            select g, g <= 1500 as old from generate_series(1, 3000) g";
        psql.run(url, &format!("{numbers}; {rows}{from}"))?;
    }
    for context in ["order", "payment", "user", "cart", "product"] {
        let killed = shop.process(context);
        shop.kill(context, Signal::KILL)?; // it looks when it starts, and each hour
        shop.ready_after(context, killed).await?;
    }
    for (context, _, left) in ROWS {
        let url = shop.database_urls(context).first().context("no database")?;
        let table = left.split_whitespace().next().context("no table")?;
        let what = format!("the old {table} are gone");
        let all = async || psql.run(url, &format!("select count(*) from {table}")).ok();
        eventually(&what, SETTLED, async || (all().await?.contains("1500")).then_some(())).await;
        let young = psql.run(url, &format!("select count(*) from {left}"))?;
        anyhow::ensure!(young.contains("1500"), "{table}: {young}");
    }
    Ok(())
}
