//! One function per command and query: load, decide, store and publish in one unit of work.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use database::{Database, Tx, constraint};
use kernel::{Money, ProductId, Shard};
use messaging::{Outbox, Outgoing};
use thiserror::Error;

use crate::domain::product::{Command, Event, decide, import};
use crate::domain::{Fault, Listing, Offer, Product, Rejection, Stock, offer};
use crate::events::catalogued;
use crate::store::stock::Receipt;
use crate::store::{self, Offered, Place, stock};

/// There is one database.
const HOME: Shard = Shard(0);
/// Products of an import in one transaction.
const CHUNK: usize = 500;
/// Products of one import.
const IMPORT_MAX: usize = 100_000;

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
            Ok(Offered { product, available: offer.opening_stock, previous_price: None })
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

    /// Begins an import.
    pub(crate) fn import(&self) -> Import {
        Import {
            app: self.clone(),
            skus: HashSet::new(),
            chunk: Vec::with_capacity(CHUNK),
            done: Imported::default(),
        }
    }

    async fn import_chunk(&self, items: &[Item]) -> Result<Imported, Error> {
        let mut tx = self.database.begin(HOME).await?;
        let mut skus: Vec<&str> = items.iter().map(|item| &*item.offer.sku).collect();
        skus.sort_unstable();
        let mut chunk = Chunk::new(store::lock_by_sku(&mut tx, &skus).await?);
        items.iter().for_each(|item| chunk.take(item));
        store::insert(&mut tx, &chunk.products(Fate::Added)).await.map_err(sku_taken)?;
        store::update(&mut tx, &chunk.products(Fate::Revised)).await?;
        chunk.done.stock_received = receive(&mut tx, &chunk.receipts).await?;
        self.outbox.publish(&mut tx, &chunk.outgoing).await?;
        tx.commit().await?;
        Ok(chunk.done)
    }
}

/// An import under way. It takes items one by one and writes them in chunks, each in one
/// transaction; dropped on the way, it leaves whole chunks behind, and the same import run again
/// adds the rest.
pub(crate) struct Import {
    app: App,
    /// Taken so far: a SKU with two meanings in one file would change at every import.
    skus: HashSet<String>,
    chunk: Vec<Item>,
    done: Imported,
}

impl Import {
    /// The place of the next item in the stream, counted from 0.
    pub(crate) fn place(&self) -> usize {
        self.skus.len()
    }

    /// Takes the next item.
    pub(crate) async fn take(&mut self, item: Item) -> Result<(), Error> {
        let place = self.place();
        self.check(&item).map_err(|rejection| Error::Item(place, rejection))?;
        self.skus.insert(item.offer.sku.clone());
        self.chunk.push(item);
        if self.chunk.len() == CHUNK { self.write().await } else { Ok(()) }
    }

    /// Writes what is left. Answers what the whole import did.
    pub(crate) async fn finish(mut self) -> Result<Imported, Error> {
        self.write().await?;
        Ok(self.done)
    }

    fn check(&self, item: &Item) -> Result<(), Rejection> {
        offer::check_source(&item.source)?;
        item.offer.check()?;
        let fault = |must_be| Err(Rejection::Invalid(vec![Fault { field: "sku", must_be }]));
        match self.skus.contains(&item.offer.sku) {
            true => fault("once in a file"),
            false if self.skus.len() == IMPORT_MAX => fault("one of at most 100000 in a file"),
            false => Ok(()),
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = Arc::new(std::mem::take(&mut self.chunk));
        for last in [false, false, true] {
            let (app, items) = (self.app.clone(), Arc::clone(&chunk));
            let work = async move { app.import_chunk(&items).await };
            match self.app.database.unit_of_work(work).await {
                // Another import added it between our look and our insert: the next look finds it.
                Err(Error::Rejected(Rejection::SkuTaken)) if !last => {}
                done => {
                    self.done += done?;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// What becomes of a product in an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unchanged,
    Revised,
    Added,
}

/// A part of a catalogue file, folded over the products that it speaks of, by SKU.
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
                for event in import(product, offer) {
                    *fate = Fate::Revised;
                    product.apply(&event);
                    self.outgoing.push(catalogued(product, &event));
                }
                match fate {
                    Fate::Revised => self.done.revised += 1,
                    Fate::Unchanged | Fate::Added => self.done.unchanged += 1,
                }
                product.id
            }
            None => self.add(Product::new(ProductId::mint(), offer)),
        };
        if offer.opening_stock > 0 {
            let name = format!("import:{source}:{}", offer.sku);
            self.receipts.push(Receipt { name, product: id, quantity: offer.opening_stock });
        }
    }

    fn add(&mut self, product: Product) -> ProductId {
        let id = product.id;
        self.done.added += 1;
        self.outgoing.push(catalogued(&product, &Event::Added));
        self.products.insert(product.sku.clone(), (product, Fate::Added));
        id
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
