//! One function per command and query: load, decide, store and publish in one transaction.

mod changes;
mod import;
mod jobs;
mod offers;
mod popular;
mod sales;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use database::{Database, Freshness, ONLY_SHARD, Tx, constraint};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::{Money, ProductId};
use messaging::Outbox;
use sqlx::PgConnection;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

pub(crate) use changes::{ChangeFeed, Since};
pub(crate) use import::Item;
pub(crate) use jobs::Part;
pub(crate) use offers::Offers;
pub(crate) use popular::Popular;
pub(crate) use sales::Sales;

use crate::domain::product::{Command, Event, decide};
use crate::domain::{Listing, Offer, Product, Rejection, Stock, offer};
use crate::events::catalogued;
use crate::store::stock::Receipt;
use crate::store::{self, Cursor, Offered, stock};

/// As many products as one statement reads.
const WARM: usize = 64;
const WARM_WITHIN: Duration = Duration::from_secs(1);

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The rules refuse an item of a catalogue: which, counted from 0.
    #[error("item {0}: {1}")]
    Item(usize, Rejection),
    /// The database did.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Which part of the catalogue to list.
#[derive(Debug)]
pub(crate) enum Filter {
    All,
    Category(String),
    Sku(String),
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    database: Database,
    outbox: Outbox,
    offers: Offers,
    popular: Popular,
    sales: Sales,
    /// A flag: an import waits in the table.
    staged: Arc<Notify>,
}

impl App {
    pub(crate) fn new(
        database: &Database,
        outbox: &Outbox,
        offers: &Offers,
        popular: Popular,
        sales: Sales,
    ) -> Self {
        let (database, outbox) = (database.clone(), outbox.clone());
        Self { database, outbox, offers: offers.clone(), popular, sales, staged: Arc::default() }
    }

    /// One page of the products on sale.
    pub(crate) async fn list(
        &self,
        filter: Filter,
        after: Cursor,
        limit: i64,
    ) -> Result<Vec<Offered>, Error> {
        self.read(move |db| {
            let list = async move {
                match filter {
                    Filter::All => store::list(db, &after, limit).await,
                    Filter::Category(name) => store::list_category(db, &name, &after, limit).await,
                    Filter::Sku(sku) => store::by_sku(db, &sku).await,
                }
            };
            list.boxed()
        })
        .await
    }

    /// The products on sale that match best.
    pub(crate) async fn search(&self, query: String, limit: i64) -> Result<Vec<Offered>, Error> {
        self.read(move |db| async move { store::search(db, &query, limit).await }.boxed()).await
    }

    /// The products on sale that were looked at most, with how often.
    pub(crate) async fn popular(&self, limit: usize) -> Result<Vec<(Offered, i64)>, Error> {
        let top = self.popular.top(limit * 2).await; // some are off sale by now
        self.on_sale(&top, limit, |_| true).await
    }

    /// Reads what is looked at most, so that it is in memory before the first request comes. It takes a second at most, and
    /// whatever goes wrong costs nothing but the warmth.
    pub(crate) async fn warm(&self) {
        let read = timeout(WARM_WITHIN, self.popular(WARM));
        let warm = read.await.ok().and_then(Result::ok).map_or(0, |popular| popular.len());
        tracing::info!(warm, "popular products are in memory");
    }

    /// Adds looks at products.
    pub(crate) async fn count_views(&self, views: &[(ProductId, u32)]) {
        self.popular.count(views).await;
    }

    /// One product, retired or not.
    pub(crate) async fn product(&self, id: ProductId) -> Result<Offered, Error> {
        let product = self.offers.one(id).await?;
        product.ok_or(Error::Rejected(Rejection::ProductNotFound))
    }

    /// Those of the products that exist: as they are now, or, to be shown, as they were within the last half second.
    pub(crate) async fn products(
        &self,
        ids: Vec<ProductId>,
        may_be_cached: bool,
    ) -> Result<Vec<Offered>, Error> {
        match may_be_cached {
            true => Ok(self.offers.those(ids).await?),
            false => Ok(self.offers.current(ids).await?),
        }
    }

    /// Puts a product into the catalogue, with the stock that it comes with.
    pub(crate) async fn add(&self, offer: Offer) -> Result<Offered, Error> {
        offer.check()?;
        let outbox = self.outbox.clone();
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                let product = Product::new(ProductId::mint(), &offer);
                store::insert(tx, &[&product]).await.map_err(sku_taken)?;
                let receipts = Vec::from_iter(opening_receipt(&product, &offer));
                receive(tx, &receipts).await?;
                outbox.publish(tx, &[catalogued(&product, &Event::Added)]).await?;
                Ok(Offered { product, available: offer.opening_stock, previous_price: None })
            };
            work.boxed()
        });
        work.await
    }

    /// Gives a product another label.
    pub(crate) async fn revise(
        &self,
        id: ProductId,
        version: i64,
        listing: Listing,
    ) -> Result<Offered, Error> {
        offer::check_listing(&listing)?;
        self.change(id, Command::Revise { version, listing }).await
    }

    /// Gives a product another price.
    pub(crate) async fn change_price(&self, id: ProductId, price: Money) -> Result<Offered, Error> {
        offer::check_price(price)?;
        self.change(id, Command::ChangePrice(price)).await
    }

    /// Takes a product off sale.
    pub(crate) async fn retire(&self, id: ProductId) -> Result<Offered, Error> {
        self.change(id, Command::Retire).await
    }

    async fn change(&self, id: ProductId, command: Command) -> Result<Offered, Error> {
        let (outbox, offers) = (self.outbox.clone(), self.offers.clone());
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                let found = store::lock(tx, id).await?;
                let mut offered = found.ok_or(Rejection::ProductNotFound)?;
                if let Some(event) = decide(&offered.product, command)? {
                    offered.product.apply(&event);
                    store::update(tx, &[&offered.product]).await?;
                    offers.changed_by(tx, [id]);
                    outbox.publish(tx, &[catalogued(&offered.product, &event)]).await?;
                }
                Ok(offered)
            };
            work.boxed()
        });
        work.await
    }

    /// Books a delivery in, once for each receipt. Returns the stock as it is then.
    pub(crate) async fn receive_stock(&self, receipt: Receipt) -> Result<Stock, Error> {
        offer::check_receipt(&receipt.name, receipt.quantity)?;
        let (id, offers) = (receipt.product, self.offers.clone());
        let work = self.database.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                offers.changed_by(tx, [id]);
                let booked = receive(tx, std::slice::from_ref(&receipt)).await;
                if booked.map_err(unknown_product)? == 0 {
                    let known = stock::receipt(tx, &receipt.name).await?;
                    if known != Some((receipt.product, receipt.quantity)) {
                        return Err(Error::Rejected(Rejection::ReceiptReused));
                    }
                }
                Ok(())
            };
            work.boxed()
        });
        work.await?;
        self.stock(id).await
    }

    /// The stock of one product.
    pub(crate) async fn stock(&self, id: ProductId) -> Result<Stock, Error> {
        let found = self.read(move |db| stock::read(db, id).boxed()).await?;
        found.ok_or(Error::Rejected(Rejection::ProductNotFound))
    }

    async fn read<T, F>(&self, read: F) -> Result<T, Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        Ok(self.database.read(ONLY_SHARD, Freshness::Primary, read).await?)
    }
}

/// Puts on the shelves what is not known yet. Returns how many pieces that is.
async fn receive(tx: &mut Tx, receipts: &[Receipt]) -> Result<i64, sqlx::Error> {
    let fresh = stock::note_receipts(tx, receipts).await?;
    if fresh.is_empty() {
        return Ok(0);
    }
    let products: BTreeSet<ProductId> = fresh.iter().map(|(id, _)| *id).collect();
    let mut shelves = stock::lock_shelves(tx, &products).await?;
    for (id, quantity) in &fresh {
        shelves.entry(*id).or_default().receive(*quantity);
    }
    stock::write_shelves(tx, &shelves).await?;
    Ok(fresh.iter().map(|(_, quantity)| quantity).sum())
}

fn opening_receipt(product: &Product, offer: &Offer) -> Option<Receipt> {
    let name = format!("opening:{}", product.id);
    let quantity = offer.opening_stock;
    (quantity > 0).then_some(Receipt { name, product: product.id, quantity })
}

fn sku_taken(error: sqlx::Error) -> Error {
    match constraint(&error) {
        Some(store::ONE_PRODUCT_PER_SKU) => Rejection::SkuTaken.into(),
        _ => error.into(),
    }
}

fn unknown_product(error: sqlx::Error) -> Error {
    match constraint(&error) {
        Some(stock::RECEIPT_OF_A_PRODUCT) => Rejection::ProductNotFound.into(),
        _ => error.into(),
    }
}
