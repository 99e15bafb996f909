//! Imports in the background: the files that wait, item by item, and how far each is.

use kernel::{Currency, ImportId, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::domain::{Imported, Job, JobState, Listing, Offer};

/// A file whose items are all staged.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub source: String,
    pub items: i64,
    /// Of all items in their order, SHA-256.
    pub digest: Vec<u8>,
}

struct Row {
    import_id: Uuid,
    source: String,
    state: String,
    version: i64,
    items: i64,
    items_imported: i64,
    added: i64,
    revised: i64,
    unchanged: i64,
    stock_received: i64,
    failure: Option<String>,
    traceparent: Option<String>,
}

impl Row {
    /// An error is a row that no version of this code wrote.
    fn job(self) -> Result<Job> {
        let state = JobState::parse(&self.state)
            .ok_or_else(|| sqlx::Error::Decode("imports.state".into()))?;
        Ok(Job {
            id: self.import_id.into(),
            source: self.source,
            state,
            version: self.version,
            items: self.items,
            items_imported: self.items_imported,
            done: Imported {
                added: self.added,
                revised: self.revised,
                unchanged: self.unchanged,
                stock_received: self.stock_received,
            },
            failure: self.failure,
            traceparent: self.traceparent,
        })
    }
}

/// Reads imports; `$rest` begins with `where`.
macro_rules! jobs {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            "select import_id, source, state, version, items, items_imported, added, revised, unchanged,
                 stock_received, failure, traceparent
             from imports " + $rest
            $(, $argument)*
        )
    };
}

/// One import.
pub(crate) async fn read(connection: &mut PgConnection, id: ImportId) -> Result<Option<Job>> {
    let row = jobs!("where import_id = $1", id.uuid()).fetch_optional(connection).await?;
    row.map(Row::job).transpose()
}

/// The same, for changing it in this transaction.
pub(crate) async fn lock(tx: &mut PgConnection, id: ImportId) -> Result<Option<Job>> {
    let row = jobs!("where import_id = $1 for update", id.uuid()).fetch_optional(tx).await?;
    row.map(Row::job).transpose()
}

/// The oldest import that waits or is under way, and for how many seconds.
pub(crate) async fn next(connection: &mut PgConnection) -> Result<Option<(ImportId, i64)>> {
    let found = sqlx::query!(
        r#"select import_id, extract(epoch from now() - created_at)::bigint as "seconds!"
           from imports where state = 'running' order by created_at, import_id limit 1"#
    );
    let found = found.fetch_optional(connection).await?;
    Ok(found.map(|row| (row.import_id.into(), row.seconds)))
}

/// This import, for changing it in this transaction, unless it has ended or another copy works at it in this moment.
pub(crate) async fn lock_running(tx: &mut PgConnection, id: ImportId) -> Result<Option<Job>> {
    let row = jobs!("where import_id = $1 and state = 'running' for update skip locked", id.uuid());
    row.fetch_optional(tx).await?.map(Row::job).transpose()
}

/// Keeps items of a file, the first of which is at `from` in it.
pub(crate) async fn stage(
    connection: &mut PgConnection,
    id: ImportId,
    from: i64,
    items: &[Offer],
) -> Result<()> {
    let text = |of: fn(&Offer) -> &str| items.iter().map(of).collect::<Vec<&str>>();
    let number = |of: fn(&Offer) -> i64| items.iter().map(of).collect::<Vec<i64>>();
    sqlx::query!(
        "insert into import_items
             (import_id, position, sku, name, description, category, price_minor, currency, opening_stock)
         select $1, $2 + ordinality - 1, sku, name, description, category, price_minor, currency, opening_stock
         from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bigint[])
             with ordinality as item(sku, name, description, category, price_minor, currency, opening_stock)",
        id.uuid(),
        from,
        &text(|offer| &offer.sku) as &[&str],
        &text(|offer| &offer.listing.name) as &[&str],
        &text(|offer| &offer.listing.description) as &[&str],
        &text(|offer| &offer.listing.category) as &[&str],
        &number(|offer| offer.price.minor),
        &text(|offer| offer.price.currency.code()) as &[&str],
        &number(|offer| offer.opening_stock)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What became of an import that was to be started.
pub(crate) enum Started {
    Running,
    /// One of its source is running.
    Another,
    /// As many are running as may be.
    TooMany,
}

/// Whether an import of this source may be taken: fewer than `at_most` are running, or this one is.
pub(crate) async fn has_room(
    connection: &mut PgConnection,
    source: &str,
    at_most: i64,
) -> Result<bool> {
    let has_room = sqlx::query_scalar!(
        r#"select count(*) < $2 or bool_or(source = $1) as "has_room!" from imports where state = 'running'"#,
        source,
        at_most
    );
    has_room.fetch_one(connection).await
}

/// Notes an import whose items are all staged, unless about `at_most` are running.
pub(crate) async fn start(
    tx: &mut PgConnection,
    id: ImportId,
    file: &File,
    traceparent: Option<&str>,
    at_most: i64,
) -> Result<Started> {
    if !has_room(tx, &file.source, at_most).await? {
        return Ok(Started::TooMany);
    }
    let noted = sqlx::query!(
        "insert into imports (import_id, source, digest, items, traceparent) values ($1, $2, $3, $4, $5)
         on conflict (source) where state = 'running' do nothing",
        id.uuid(),
        file.source,
        &file.digest,
        file.items,
        traceparent
    );
    match noted.execute(tx).await?.rows_affected() {
        0 => Ok(Started::Another),
        _ => Ok(Started::Running),
    }
}

/// The import of this source that is running, and the digest of its file.
pub(crate) async fn running(
    connection: &mut PgConnection,
    source: &str,
) -> Result<Option<(ImportId, Vec<u8>)>> {
    let row = sqlx::query!(
        "select import_id, digest from imports where source = $1 and state = 'running'",
        source
    );
    let row = row.fetch_optional(connection).await?;
    Ok(row.map(|row| (row.import_id.into(), row.digest)))
}

/// Takes the next items of an import out, at most so many.
pub(crate) async fn take_items(
    tx: &mut PgConnection,
    job: &Job,
    at_most: i64,
) -> Result<Vec<Offer>> {
    let rows = sqlx::query!(
        r#"with taken as (
               delete from import_items where import_id = $1 and position >= $2 and position < $2 + $3
               returning position, sku, name, description, category, price_minor, currency, opening_stock
           )
           select sku as "sku!", name as "name!", description as "description!", category as "category!",
               price_minor as "price_minor!", currency as "currency!", opening_stock as "opening_stock!"
           from taken order by position"#,
        job.id.uuid(),
        job.items_imported,
        at_most
    )
    .fetch_all(tx)
    .await?;
    let offers = rows.into_iter().map(|row| {
        let currency = Currency::parse(&row.currency)
            .map_err(|_| sqlx::Error::Decode("import_items.currency".into()))?;
        Ok(Offer {
            sku: row.sku,
            listing: Listing {
                name: row.name,
                description: row.description,
                category: row.category,
            },
            price: Money { currency, minor: row.price_minor },
            opening_stock: row.opening_stock,
        })
    });
    offers.collect()
}

/// Writes an import that was locked and has changed.
pub(crate) async fn write(tx: &mut PgConnection, job: &Job) -> Result<()> {
    sqlx::query!(
        "update imports set state = $2, version = $3, items_imported = $4, added = $5, revised = $6,
             unchanged = $7, stock_received = $8, failure = $9
         where import_id = $1",
        job.id.uuid(),
        job.state.name(),
        job.version,
        job.items_imported,
        job.done.added,
        job.done.revised,
        job.done.unchanged,
        job.done.stock_received,
        job.failure
    )
    .execute(tx)
    .await?;
    Ok(())
}
