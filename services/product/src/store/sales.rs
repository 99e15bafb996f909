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

/// In how long a view is due; none when it is, or when the database's clock was set back by more than `horizon`.
pub(crate) async fn due_in(
    connection: &mut PgConnection,
    view: View,
    horizon: Duration,
) -> Result<Option<Duration>> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from due_at - now())::float8 as "seconds!" from refreshes where view = $1"#,
        view.name()
    );
    let due_in = Duration::try_from_secs_f64(seconds.fetch_one(connection).await?).ok();
    Ok(due_in.filter(|due_in| !due_in.is_zero() && *due_in <= horizon))
}

/// Claims a view that is due, for so long (a lease, by the database's clock). False: another copy was first.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    view: View,
    lease: Duration,
    horizon: Duration,
) -> Result<bool> {
    let claimed = sqlx::query!(
        "update refreshes set due_at = now() + make_interval(secs => $2)
         where view = $1 and (due_at <= now() or due_at > now() + make_interval(secs => $3))",
        view.name(),
        lease.as_secs_f64(),
        horizon.as_secs_f64()
    );
    Ok(claimed.execute(connection).await?.rows_affected() == 1)
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

/// A view that was claimed is due again after this time.
pub(crate) async fn give_back(
    connection: &mut PgConnection,
    view: View,
    due_in: Duration,
) -> Result<()> {
    sqlx::query!(
        "update refreshes set due_at = now() + make_interval(secs => $2) where view = $1",
        view.name(),
        due_in.as_secs_f64()
    )
    .execute(connection)
    .await?;
    Ok(())
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
