//! Bestsellers and categories, which are materialised views, and what is bought together.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::ProductId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Result;

/// What is precomputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Bestsellers,
    Categories,
}

impl View {
    pub(crate) const ALL: [Self; 2] = [Self::Bestsellers, Self::Categories];

    /// In the database, and as a label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bestsellers => "bestsellers",
            Self::Categories => "categories",
        }
    }
}

/// When a view is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub at: OffsetDateTime,
    /// By the database's clock; none when it is due, or when that clock was set back by more than the horizon.
    pub after: Option<Duration>,
}

pub(crate) async fn due(
    connection: &mut PgConnection,
    view: View,
    horizon: Duration,
) -> Result<Due> {
    let row = sqlx::query!(
        r#"select due_at, extract(epoch from due_at - now())::float8 as "seconds!" from refreshes where view = $1"#,
        view.name()
    );
    let row = row.fetch_one(connection).await?;
    let after = Duration::try_from_secs_f64(row.seconds).ok();
    let after = after.filter(|after| !after.is_zero() && *after <= horizon);
    Ok(Due { at: row.due_at, after })
}

/// Makes a view that was due at `seen` due in so long (compare-and-swap). Returns when that is; none: another copy was first.
pub(crate) async fn put_off(
    connection: &mut PgConnection,
    view: View,
    seen: OffsetDateTime,
    due_in: Duration,
) -> Result<Option<OffsetDateTime>> {
    let put_off = sqlx::query_scalar!(
        "update refreshes set due_at = now() + make_interval(secs => $3)
         where view = $1 and due_at = $2 returning due_at",
        view.name(),
        seen,
        due_in.as_secs_f64()
    );
    put_off.fetch_optional(connection).await
}

/// Refreshes a view that was claimed. Readers go on with the rows from before.
pub(crate) async fn refresh(tx: &mut PgConnection, view: View, timeout: Duration) -> Result<()> {
    let timeout = timeout.as_millis().to_string();
    sqlx::query!(
        "select set_config('statement_timeout', $1, true) as statement, set_config('lock_timeout', $1, true) as locks",
        timeout
    )
    .fetch_one(&mut *tx)
    .await?;
    let refresh = match view {
        View::Bestsellers => sqlx::query!("refresh materialized view concurrently bestsellers"),
        View::Categories => sqlx::query!("refresh materialized view concurrently categories"),
    };
    refresh.execute(&mut *tx).await?;
    sqlx::query!("update refreshes set refreshed_at = now() where view = $1", view.name())
        .execute(tx)
        .await?;
    Ok(())
}

/// What was precomputed at `as_of`, each with its number.
pub(crate) struct AsOf<T> {
    pub rows: Vec<(T, i64)>,
    pub as_of: OffsetDateTime,
}

/// What was sold most within a week, of a category unless it is empty, with how many pieces, most first.
pub(crate) async fn bestsellers(
    connection: &mut PgConnection,
    category: &str,
    limit: i64,
) -> Result<AsOf<ProductId>> {
    let rows = sqlx::query!(
        r#"select r.refreshed_at, b.product_id as "product_id?", b.pieces as "pieces?" from refreshes r
           left join (
               (select product_id, pieces from bestsellers where $1 = ''
                order by pieces desc, product_id limit $2)
               union all
               (select product_id, pieces from bestsellers where category = $1
                order by pieces desc, product_id limit $2)
           ) b on true
           where r.view = 'bestsellers' order by b.pieces desc, b.product_id"#,
        category,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let as_of = rows.first().map(|row| row.refreshed_at).ok_or(sqlx::Error::RowNotFound)?;
    let ranked = rows.into_iter().filter_map(|row| Some((row.product_id?.into(), row.pieces?)));
    Ok(AsOf { rows: ranked.collect(), as_of })
}

/// Categories that have products on sale, with how many, by name.
pub(crate) async fn categories(connection: &mut PgConnection, limit: i64) -> Result<AsOf<String>> {
    let rows = sqlx::query!(
        r#"select r.refreshed_at, c.category as "category?", c.products as "products?" from refreshes r
           left join (select * from categories order by category limit $1) c on true
           where r.view = 'categories' order by c.category"#,
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    let as_of = rows.first().map(|row| row.refreshed_at).ok_or(sqlx::Error::RowNotFound)?;
    let named = rows.into_iter().filter_map(|row| Some((row.category?, row.products?)));
    Ok(AsOf { rows: named.collect(), as_of })
}

/// Counts pairs of products, each with the number of orders that have both. The shelves of all of them are locked, so two
/// transactions never wait for each other here.
pub(crate) async fn add_bought_together(
    tx: &mut PgConnection,
    pairs: &BTreeMap<(ProductId, ProductId), i64>,
) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let products: Vec<Uuid> = pairs.keys().map(|(product, _)| product.uuid()).collect();
    let with: Vec<Uuid> = pairs.keys().map(|(_, with)| with.uuid()).collect();
    let orders: Vec<i64> = pairs.values().copied().collect();
    sqlx::query!(
        "insert into bought_together as b (month, product_id, with_id, orders)
         select date_trunc('month', now())::date, * from unnest($1::uuid[], $2::uuid[], $3::bigint[])
         on conflict (month, product_id, with_id) do update set orders = b.orders + excluded.orders",
        &products,
        &with,
        &orders
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What was in orders with a product, with the number of these orders in this month and the two before, most first; what is off
/// sale as well. Reads one row per companion and month.
pub(crate) async fn bought_together(
    connection: &mut PgConnection,
    product: ProductId,
    limit: i64,
) -> Result<Vec<(ProductId, i64)>> {
    let rows = sqlx::query!(
        r#"select with_id, sum(orders)::bigint as "orders!" from bought_together
           where month = any(array(select date_trunc('month', now() - make_interval(months => back))::date
                   from generate_series(0, 2) back)) and product_id = $1
           group by with_id order by 2 desc, with_id limit $2"#,
        product.uuid(),
        limit
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    Ok(rows.map(|row| (row.with_id.into(), row.orders)).collect())
}
