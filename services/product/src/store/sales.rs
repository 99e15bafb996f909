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

/// The refresh of a view before the next one.
pub(crate) struct Refreshed {
    pub at: OffsetDateTime,
    /// As the database's clock has it; none when that was set back since.
    pub ago: Option<Duration>,
    pub took: Duration,
}

pub(crate) async fn refreshed(connection: &mut PgConnection, view: View) -> Result<Refreshed> {
    let row = sqlx::query!(
        r#"select refreshed_at, took_ms, extract(epoch from now() - refreshed_at)::float8 as "ago_s!"
           from refreshes where view = $1"#,
        view.name()
    )
    .fetch_one(connection)
    .await?;
    let took = Duration::from_millis(row.took_ms.try_into().unwrap_or_default());
    let ago = Duration::try_from_secs_f64(row.ago_s).ok();
    Ok(Refreshed { at: row.refreshed_at, ago, took })
}

/// Refreshes a view, in `limit`. False: another copy is about it, or has done so since `before`. Readers go on with what was there.
pub(crate) async fn refresh(
    tx: &mut PgConnection,
    view: View,
    before: OffsetDateTime,
    limit: Duration,
) -> Result<bool> {
    let locked = sqlx::query!(
        r#"select true as "locked!" from refreshes where view = $1 and refreshed_at = $2
           for update skip locked"#,
        view.name(),
        before
    );
    if locked.fetch_optional(&mut *tx).await?.is_none() {
        return Ok(false);
    }
    let limit = limit.as_millis().to_string();
    sqlx::query!("select set_config('statement_timeout', $1, true)", limit)
        .fetch_one(&mut *tx)
        .await?;
    let refresh = match view {
        View::Bestsellers => sqlx::query!("refresh materialized view concurrently bestsellers"),
        View::Categories => sqlx::query!("refresh materialized view concurrently categories"),
    };
    refresh.execute(&mut *tx).await?;
    sqlx::query!(
        "update refreshes set refreshed_at = now(), took_ms = extract(epoch from clock_timestamp() - now()) * 1000
         where view = $1",
        view.name()
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// Rows, and when they were precomputed.
pub(crate) type AsOf<T> = (Vec<(T, i64)>, OffsetDateTime);

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
    let at = rows.first().map(|row| row.refreshed_at).ok_or(sqlx::Error::RowNotFound)?;
    let ranked = rows.into_iter().filter_map(|row| Some((row.product_id?.into(), row.pieces?)));
    Ok((ranked.collect(), at))
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
    let at = rows.first().map(|row| row.refreshed_at).ok_or(sqlx::Error::RowNotFound)?;
    let named = rows.into_iter().filter_map(|row| Some((row.category?, row.products?)));
    Ok((named.collect(), at))
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

/// What is on sale and was in orders with a product, with the number of these orders in this month and the two before, most first.
/// Reads a row for each product that ever was.
pub(crate) async fn bought_together(
    connection: &mut PgConnection,
    product: ProductId,
    limit: i64,
) -> Result<Vec<(ProductId, i64)>> {
    let rows = sqlx::query!(
        r#"select b.with_id, sum(b.orders)::bigint as "orders!" from bought_together b
           join products p on p.product_id = b.with_id and p.retired_at is null
           where b.month = any(array(select date_trunc('month', now() - make_interval(months => back))::date
                   from generate_series(0, 2) back)) and b.product_id = $1
           group by b.with_id order by 2 desc, b.with_id limit $2"#,
        product.uuid(),
        limit
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    Ok(rows.map(|row| (row.with_id.into(), row.orders)).collect())
}
