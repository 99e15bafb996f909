//! One function per command and query: load, decide, store and publish in one unit of work.

use std::collections::{BTreeMap, BTreeSet};

use database::{Database, Tx, constraint};
use kernel::{Money, ProductId, Shard};
use messaging::{Outbox, Outgoing};
use thiserror::Error;

use crate::domain::product::{Command, Event, decide, import};
use crate::domain::{Listing, Offer, Product, Rejection, Stock, offer};
use crate::events::catalogued;
use crate::store::stock::Receipt;
use crate::store::{self, Offered, Place, stock};

/// There is one database.
const HOME: Shard = Shard(0);
/// Another import may add a product between our look and our insert; the next look finds it.
const IMPORT_TRIES: usize = 3;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The rules refuse an item of a catalogue: which, counted from 0 over the whole stream.
    #[error("item {0}: {1}")]
    Item(u64, Rejection),
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

/// A product of a catalogue file.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Names the file.
    pub source: String,
    pub offer: Offer,
}

/// What an import has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    pub added: i64,
    pub revised: i64,
    pub unchanged: i64,
    /// Pieces.
    pub stock_received: i64,
}

impl std::ops::AddAssign for Imported {
    fn add_assign(&mut self, more: Self) {
        self.added += more.added;
        self.revised += more.revised;
        self.unchanged += more.unchanged;
        self.stock_received += more.stock_received;
    }
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    database: Database,
    outbox: Outbox,
}

impl App {
    pub(crate) fn new(database: &Database, outbox: &Outbox) -> Self {
        Self { database: database.clone(), outbox: outbox.clone() }
    }

    /// One page of the products on sale.
    pub(crate) async fn list(
        &self,
        filter: &Filter,
        after: &Place,
        limit: i64,
    ) -> Result<Vec<Offered>, Error> {
        let pool = self.database.sole();
        Ok(match filter {
            Filter::All => store::list(pool, after, limit).await?,
            Filter::Category(category) => {
                store::list_category(pool, category, after, limit).await?
            }
            Filter::Sku(sku) => store::by_sku(pool, sku).await?,
        })
    }

    /// The products on sale that match best.
    pub(crate) async fn search(&self, query: &str, limit: i64) -> Result<Vec<Offered>, Error> {
        Ok(store::search(self.database.sole(), query, limit).await?)
    }

    /// One product, retired or not.
    pub(crate) async fn product(&self, id: ProductId) -> Result<Offered, Error> {
        let product = store::product(self.database.sole(), id).await?;
        product.ok_or(Error::Rejected(Rejection::ProductNotFound))
    }

    /// Those of the products that exist.
    pub(crate) async fn products(&self, ids: &[ProductId]) -> Result<Vec<Offered>, Error> {
        Ok(store::products(self.database.sole(), ids).await?)
    }

    /// Puts a product into the catalogue, with the stock that it comes with.
    pub(crate) async fn add(&self, offer: Offer) -> Result<Offered, Error> {
        offer.check()?;
        let app = self.clone();
        let work = async move {
            let mut tx = app.database.begin(HOME).await?;
            let product = Product::new(ProductId::mint(), &offer);
            store::insert(&mut tx, &[&product]).await.map_err(sku_taken)?;
            let receipts: Vec<Receipt> = opening_receipt(&product, &offer).into_iter().collect();
            receive(&mut tx, &receipts).await?;
            app.outbox.publish(&mut tx, &[catalogued(&product, &Event::Added)]).await?;
            tx.commit().await?;
            Ok(Offered { product, available: offer.opening_stock })
        };
        self.database.unit_of_work(work).await
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
        let app = self.clone();
        let work = async move {
            let mut tx = app.database.begin(HOME).await?;
            let found = store::lock(&mut tx, id).await?;
            let mut offered = found.ok_or(Rejection::ProductNotFound)?;
            if let Some(event) = decide(&offered.product, command)? {
                offered.product.apply(&event);
                store::update(&mut tx, &[&offered.product]).await?;
                app.outbox.publish(&mut tx, &[catalogued(&offered.product, &event)]).await?;
            }
            tx.commit().await?;
            Ok(offered)
        };
        self.database.unit_of_work(work).await
    }

    /// Books a delivery in, once for each receipt. Answers the stock as it is then.
    pub(crate) async fn receive_stock(&self, receipt: Receipt) -> Result<Stock, Error> {
        offer::check_receipt(&receipt.name, receipt.quantity)?;
        let (app, id) = (self.clone(), receipt.product);
        let work = async move {
            let mut tx = app.database.begin(HOME).await?;
            let booked = receive(&mut tx, std::slice::from_ref(&receipt)).await;
            if booked.map_err(unknown_product)? == 0 {
                let known = stock::receipt(&mut tx, &receipt.name).await?;
                if known != Some((receipt.product, receipt.quantity)) {
                    return Err(Rejection::ReceiptReused.into());
                }
            }
            tx.commit().await?;
            Ok(())
        };
        self.database.unit_of_work::<Result<(), Error>>(work).await?;
        self.stock(id).await
    }

    /// The stock of one product.
    pub(crate) async fn stock(&self, id: ProductId) -> Result<Stock, Error> {
        let found = stock::read(self.database.sole(), id).await?;
        found.ok_or(Error::Rejected(Rejection::ProductNotFound))
    }

    /// Brings a part of a catalogue file into the catalogue, in one transaction. `first` is the
    /// place of its first item in the file.
    pub(crate) async fn import(&self, first: u64, items: Vec<Item>) -> Result<Imported, Error> {
        for (at, item) in (first..).zip(&items) {
            let checked = offer::check_source(&item.source).and_then(|()| item.offer.check());
            checked.map_err(|rejection| Error::Item(at, rejection))?;
        }
        let mut tries = 1;
        loop {
            let (app, chunk) = (self.clone(), items.clone());
            let work = async move { app.import_chunk(&chunk).await };
            match self.database.unit_of_work(work).await {
                Err(Error::Rejected(Rejection::SkuTaken)) if tries < IMPORT_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn import_chunk(&self, items: &[Item]) -> Result<Imported, Error> {
        let mut tx = self.database.begin(HOME).await?;
        let skus: BTreeSet<&str> = items.iter().map(|item| &*item.offer.sku).collect();
        let skus: Vec<&str> = skus.into_iter().collect();
        let existing = store::lock_by_sku(&mut tx, &skus).await?;
        let mut chunk = Chunk::new(existing);
        items.iter().for_each(|item| chunk.take(item));
        store::insert(&mut tx, &chunk.products(Fate::Added)).await.map_err(sku_taken)?;
        store::update(&mut tx, &chunk.products(Fate::Revised)).await?;
        chunk.done.stock_received = receive(&mut tx, &chunk.receipts).await?;
        self.outbox.publish(&mut tx, &chunk.outgoing).await?;
        tx.commit().await?;
        Ok(chunk.done)
    }
}

/// What becomes of a product in an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Unchanged,
    Revised,
    Added,
}

/// A part of a catalogue file, folded over the products that it speaks of. A SKU that comes twice
/// is taken twice: the last one stays.
struct Chunk {
    products: BTreeMap<String, (Product, Fate)>,
    receipts: Vec<Receipt>,
    outgoing: Vec<Outgoing>,
    done: Imported,
}

impl Chunk {
    fn new(existing: Vec<Offered>) -> Self {
        let products = existing
            .into_iter()
            .map(|offered| (offered.product.sku.clone(), (offered.product, Fate::Unchanged)));
        Self {
            products: products.collect(),
            receipts: Vec::new(),
            outgoing: Vec::new(),
            done: Imported::default(),
        }
    }

    fn take(&mut self, Item { source, offer }: &Item) {
        let id = match self.products.get_mut(&offer.sku) {
            Some((product, fate)) => {
                let events = import(product, offer);
                if events.is_empty() {
                    self.done.unchanged += 1;
                } else {
                    self.done.revised += 1;
                    *fate = (*fate).max(Fate::Revised);
                }
                for event in events {
                    product.apply(&event);
                    self.outgoing.push(catalogued(product, &event));
                }
                product.id
            }
            None => {
                let product = Product::new(ProductId::mint(), offer);
                self.done.added += 1;
                self.outgoing.push(catalogued(&product, &Event::Added));
                let id = product.id;
                self.products.insert(offer.sku.clone(), (product, Fate::Added));
                id
            }
        };
        if offer.opening_stock > 0 {
            let name = format!("import:{source}:{}", offer.sku);
            self.receipts.push(Receipt { name, product: id, quantity: offer.opening_stock });
        }
    }

    fn products(&self, fate: Fate) -> Vec<&Product> {
        let products = self.products.values();
        products.filter(|(_, its)| *its == fate).map(|(product, _)| product).collect()
    }
}

/// Puts on the shelves what is not known yet. Answers how many pieces that is.
async fn receive(tx: &mut Tx, receipts: &[Receipt]) -> Result<i64, sqlx::Error> {
    let fresh = stock::note_receipts(tx, receipts).await?;
    if fresh.is_empty() {
        return Ok(0);
    }
    let products: BTreeSet<ProductId> = fresh.iter().map(|(id, _)| *id).collect();
    stock::trust_keys(tx).await?;
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
