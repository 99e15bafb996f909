//! Every SQL statement of the product context: the catalogue here, what is counted in [`stock`].
//!
//! Lock ordering: rows are always locked in one order (imports, products by SKU, receipts, reservations by id, shelves by
//! id, pairs of products by their ids), so that no two transactions wait for each other (deadlock).

pub(crate) mod changes;
pub(crate) mod imports;
pub(crate) mod sales;
pub(crate) mod stock;
mod retention;

use std::collections::HashMap;

use kernel::{Currency, Money, ProductId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Listing, Product};

pub(crate) use retention::RETENTION;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// The constraint that tells a SKU that is taken.
pub(crate) const ONE_PRODUCT_PER_SKU: &str = "products_sku_unique";

/// A product with what can be bought of it at the moment of reading.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub product: Product,
    pub available: i64,
    /// The price before this one, if it changed within a day.
    pub previous_price: Option<Money>,
}

struct Row {
    product_id: Uuid,
    sku: String,
    name: String,
    description: String,
    category: String,
    price_minor: i64,
    previous_price_minor: Option<i64>,
    currency: String,
    version: i64,
    retired: bool,
    available: i64,
}

impl Row {
    /// An error is a row that no version of this code wrote.
    fn offered(self) -> Result<Offered> {
        let currency = Currency::parse(&self.currency)
            .map_err(|_| sqlx::Error::Decode("products.currency".into()))?;
        let Self { name, description, category, available, .. } = self;
        let product = Product {
            id: self.product_id.into(),
            sku: self.sku,
            listing: Listing { name, description, category },
            price: Money { currency, minor: self.price_minor },
            version: self.version,
            retired: self.retired,
        };
        let previous_price = self.previous_price_minor.map(|minor| Money { currency, minor });
        Ok(Offered { product, available, previous_price })
    }
}

/// Reads products with their stock; `$rest` begins with `where`.
macro_rules! products {
    ($rest:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"select p.product_id, p.sku, p.name, p.description, p.category, p.price_minor,
                   case when p.price_changed_at > now() - interval '24 hours'
                       then p.previous_price_minor end as previous_price_minor,
                   p.currency, p.version, p.retired_at is not null as "retired!",
                   s.on_hand - s.reserved as "available!"
               from products p join stock s on s.product_id = p.product_id "# + $rest,
            $($argument),+
        )
    };
}

fn all(rows: Vec<Row>) -> Result<Vec<Offered>> {
    rows.into_iter().map(Row::offered).collect()
}

/// These products, retired ones included; unknown ids are left out.
pub(crate) async fn products(
    connection: &mut PgConnection,
    ids: &[ProductId],
) -> Result<Vec<Offered>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    all(products!("where p.product_id = any($1)", &ids).fetch_all(connection).await?)
}

/// Each of these products, if it exists, in their order.
pub(crate) async fn each_product(
    connection: &mut PgConnection,
    ids: &[ProductId],
) -> Result<Vec<Option<Offered>>> {
    let found = products(connection, ids).await?.into_iter();
    let found: HashMap<ProductId, Offered> = found.map(|it| (it.product.id, it)).collect();
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// The same, for changing it in this transaction.
pub(crate) async fn lock(tx: &mut PgConnection, id: ProductId) -> Result<Option<Offered>> {
    let row = products!("where p.product_id = $1 for update of p", id.uuid());
    row.fetch_optional(tx).await?.map(Row::offered).transpose()
}

/// The products with these SKUs, for changing them in this transaction.
pub(crate) async fn lock_by_sku(tx: &mut PgConnection, skus: &[&str]) -> Result<Vec<Offered>> {
    let rows = products!("where p.sku = any($1) order by p.sku for update of p", skus as &[&str]);
    all(rows.fetch_all(tx).await?)
}

/// A page cursor, for keyset pagination: the name and the id of the last product of the page before. Empty name and nil
/// id at the beginning.
pub(crate) type Cursor = (String, Uuid);

/// Products on sale after `cursor`, by name.
pub(crate) async fn list(
    connection: &mut PgConnection,
    cursor: &Cursor,
    limit: i64,
) -> Result<Vec<Offered>> {
    let rows = products!(
        "where p.retired_at is null and (p.name, p.product_id) > ($1, $2)
         order by p.name, p.product_id limit $3",
        cursor.0,
        cursor.1,
        limit
    );
    all(rows.fetch_all(connection).await?)
}

/// The same, of one category.
pub(crate) async fn list_category(
    connection: &mut PgConnection,
    category: &str,
    cursor: &Cursor,
    limit: i64,
) -> Result<Vec<Offered>> {
    let rows = products!(
        "where p.retired_at is null and p.category = $1 and (p.name, p.product_id) > ($2, $3)
         order by p.name, p.product_id limit $4",
        category,
        cursor.0,
        cursor.1,
        limit
    );
    all(rows.fetch_all(connection).await?)
}

/// The product on sale with this SKU.
pub(crate) async fn by_sku(connection: &mut PgConnection, sku: &str) -> Result<Vec<Offered>> {
    let rows = products!("where p.retired_at is null and p.sku = $1", sku);
    all(rows.fetch_all(connection).await?)
}

/// Products on sale that match, best first; of more than two thousand the best of those that lie first in the table. A rank costs
/// three microseconds, and a word that is in each of a million names would have that many (`cargo souk bench catalogue`). The
/// limit is no parameter: a plan would have to guess it. Stock is read for the page only.
pub(crate) async fn search(
    connection: &mut PgConnection,
    query: &str,
    limit: i64,
) -> Result<Vec<Offered>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.product_id, p.sku, p.name, p.description, p.category, p.price_minor,
               null::bigint as previous_price_minor, p.currency, p.version, false as "retired!", s.on_hand - s.reserved as "available!"
           from (
               select *, ts_rank_cd(search, websearch_to_tsquery('english', $1)) as rank
               from (
                   select * from products
                   where search @@ websearch_to_tsquery('english', $1) and retired_at is null
                   limit 2000
               ) found
               order by rank desc, name, product_id limit $2
           ) p
           join stock s on s.product_id = p.product_id
           order by p.rank desc, p.name, p.product_id"#,
        query,
        limit
    );
    all(rows.fetch_all(connection).await?)
}

/// Writes new products, each with an empty shelf.
pub(crate) async fn insert(tx: &mut PgConnection, products: &[&Product]) -> Result<()> {
    let ids: Vec<Uuid> = products.iter().map(|product| product.id.uuid()).collect();
    let skus: Vec<&str> = products.iter().map(|product| &*product.sku).collect();
    let Columns { names, descriptions, categories, prices, currencies, versions } =
        Columns::of(products);
    sqlx::query!(
        "with added as (
             insert into products
                 (product_id, sku, name, description, category, price_minor, currency, version)
             select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
                 $6::bigint[], $7::text[], $8::bigint[])
             returning product_id
         )
         insert into stock (product_id) select product_id from added",
        &ids,
        &skus as &[&str],
        &names as &[&str],
        &descriptions as &[&str],
        &categories as &[&str],
        &prices,
        &currencies as &[&str],
        &versions
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes products that were locked and have changed.
pub(crate) async fn update(tx: &mut PgConnection, products: &[&Product]) -> Result<()> {
    let ids: Vec<Uuid> = products.iter().map(|product| product.id.uuid()).collect();
    let retired: Vec<bool> = products.iter().map(|product| product.retired).collect();
    let Columns { names, descriptions, categories, prices, currencies, versions } =
        Columns::of(products);
    sqlx::query!(
        "update products p set name = c.name, description = c.description,
             category = c.category, price_minor = c.price_minor, currency = c.currency,
             previous_price_minor = case when c.price_minor = p.price_minor
                 and c.currency = p.currency then p.previous_price_minor
                 when c.currency = p.currency then p.price_minor end,
             price_changed_at = case when c.price_minor = p.price_minor
                 and c.currency = p.currency then p.price_changed_at else now() end,
             version = c.version,
             retired_at = case when c.retired then coalesce(p.retired_at, now()) end
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[],
             $7::bigint[], $8::boolean[])
             c(product_id, name, description, category, price_minor, currency, version, retired)
         where p.product_id = c.product_id",
        &ids,
        &names as &[&str],
        &descriptions as &[&str],
        &categories as &[&str],
        &prices,
        &currencies as &[&str],
        &versions,
        &retired
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What new and changed products have in common, column by column.
struct Columns<'a> {
    names: Vec<&'a str>,
    descriptions: Vec<&'a str>,
    categories: Vec<&'a str>,
    prices: Vec<i64>,
    currencies: Vec<&'a str>,
    versions: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(products: &[&'a Product]) -> Self {
        Self {
            names: products.iter().map(|product| &*product.listing.name).collect(),
            descriptions: products.iter().map(|product| &*product.listing.description).collect(),
            categories: products.iter().map(|product| &*product.listing.category).collect(),
            prices: products.iter().map(|product| product.price.minor).collect(),
            currencies: products.iter().map(|product| product.price.currency.code()).collect(),
            versions: products.iter().map(|product| product.version).collect(),
        }
    }
}
