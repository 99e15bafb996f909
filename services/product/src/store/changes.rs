//! Which products have changed, whoever changed them. Triggers note it in the transaction that does; a snapshot tells what
//! has become visible since another one.

use std::collections::BTreeSet;

use kernel::ProductId;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::Result;

/// More rows, or more products, are "any".
const ROWS_MAX: i64 = 1_000;
const PRODUCTS_MAX: usize = 10_000;

/// Which products have changed.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// None: it may be any.
    pub products: Option<BTreeSet<ProductId>>,
    /// Not only their stock: what is listed and found may be other products.
    pub catalogue: bool,
}

impl Change {
    /// Nothing is known of it.
    pub(crate) fn anything() -> Self {
        Self { products: None, catalogue: true }
    }

    pub(crate) fn nothing() -> Self {
        Self { products: Some(BTreeSet::new()), catalogue: false }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.catalogue |= other.catalogue;
        match (&mut self.products, &other.products) {
            (Some(products), Some(more)) => products.extend(more),
            (products, _) => *products = None,
        }
        if self.products.as_ref().is_some_and(|products| products.len() > PRODUCTS_MAX) {
            *self = Self::anything();
        }
    }
}

/// What the database answered.
#[derive(Debug)]
pub(crate) struct Poll {
    /// When the server was started: after a crash it numbers transactions as others that were lost.
    pub started_at: OffsetDateTime,
    /// The transactions that were visible, as PostgreSQL writes a `pg_snapshot`.
    pub snapshot: String,
    /// How many these are, below the minute in which the server was started: snapshots of one server contain each other, so
    /// the larger one sees more, and one that was started later is above all of before.
    pub level: i64,
    /// What has become visible since the snapshot before.
    pub change: Change,
}

/// What has become visible since `snapshot`; without one, nothing.
pub(crate) async fn poll(db: &mut PgConnection, snapshot: Option<&str>) -> Result<Poll> {
    let rows = sqlx::query!(
        r#"with here as (
               select pg_current_snapshot() as snapshot, pg_postmaster_start_time() as started_at
           ), fresh as (
               (select product_ids, stock_only from changes
                where changed_in >= pg_snapshot_xmax($1::text::pg_snapshot) order by changed_in limit $2)
               union all
               (select product_ids, stock_only from changes
                where changed_in = any(array(select pg_snapshot_xip($1::text::pg_snapshot))) limit $2)
           )
           select here.snapshot::text as "snapshot!",
               ((extract(epoch from started_at - timestamptz '2026-01-01Z') / 60)::bigint << 40)
                   + pg_snapshot_xmax(here.snapshot)::text::bigint
                   - (select count(*) from pg_snapshot_xip(here.snapshot)) as "level!",
               started_at as "started_at!",
               fresh.product_ids, fresh.stock_only as "stock_only?"
           from here left join fresh on true"#,
        snapshot,
        ROWS_MAX
    )
    .fetch_all(db)
    .await?;
    let mut change = Change::nothing();
    for row in &rows {
        let Some(stock_only) = row.stock_only else { continue };
        let products = row.product_ids.as_ref();
        let products = products.map(|ids| ids.iter().map(|id| (*id).into()).collect());
        change.add(&Change { products, catalogue: !stock_only });
    }
    if rows.len() as i64 >= ROWS_MAX {
        change = Change::anything();
    }
    let first = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Poll { started_at: first.started_at, snapshot: first.snapshot, level: first.level, change })
}
