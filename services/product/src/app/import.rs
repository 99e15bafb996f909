//! A catalogue file, taken in by chunks, each in one transaction.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use database::{ONLY_SHARD, Tx};
use futures_util::FutureExt as _;
use kernel::ProductId;
use messaging::Outgoing;

use super::{App, Error, receive, sku_taken};
use crate::domain::product::{Event, import};
use crate::domain::{Fault, Imported, Offer, Product, Rejection, offer};
use crate::events::catalogued;
use crate::store::stock::Receipt;
use crate::store::{self, Offered};

/// Maximum number of products of an import in one transaction.
pub(super) const CHUNK: usize = 500;
/// Maximum number of products of one import.
const IMPORT_MAX: usize = 100_000;

/// A product of a catalogue file.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Names the file.
    pub source: String,
    pub offer: Offer,
}

impl App {
    /// Begins an import.
    pub(crate) fn import(&self) -> Import {
        Import { app: self.clone(), items: Items::default(), done: Imported::default() }
    }

    /// Takes in a part of a file.
    pub(super) async fn import_chunk(
        &self,
        tx: &mut Tx,
        items: &[Item],
    ) -> Result<Imported, Error> {
        let mut skus: Vec<&str> = items.iter().map(|item| &*item.offer.sku).collect();
        skus.sort_unstable();
        let mut chunk = Chunk::new(store::lock_by_sku(tx, &skus).await?);
        items.iter().for_each(|item| chunk.take(item));
        self.offers.changed_by(tx, chunk.products.values().map(|(product, _)| product.id));
        store::insert(tx, &chunk.products(Fate::Added)).await.map_err(sku_taken)?;
        store::update(tx, &chunk.products(Fate::Revised)).await?;
        chunk.done.stock_received = receive(tx, &chunk.receipts).await?;
        self.outbox.publish(tx, &chunk.outgoing).await?;
        Ok(chunk.done)
    }
}

/// The items of a file, checked one by one and given on in chunks.
#[derive(Default)]
pub(super) struct Items {
    /// Taken so far: a SKU with two meanings in one file would change at every import.
    skus: HashSet<String>,
    chunk: Vec<Item>,
}

impl Items {
    /// The place of the next item in the file, counted from 0.
    pub(super) fn place(&self) -> usize {
        self.skus.len()
    }

    /// Takes the next item. Whether there is a chunk of them.
    pub(super) fn take(&mut self, item: Item) -> Result<bool, Error> {
        let place = self.place();
        self.check(&item).map_err(|rejection| Error::Item(place, rejection))?;
        self.skus.insert(item.offer.sku.clone());
        self.chunk.push(item);
        Ok(self.chunk.len() == CHUNK)
    }

    /// What was taken since this was called before.
    pub(super) fn chunk(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.chunk)
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
}

/// An import in progress. It takes items one by one and writes them in chunks, each in one
/// transaction; dropped on the way, it leaves whole chunks behind, and the same import run again
/// adds the rest.
pub(crate) struct Import {
    app: App,
    items: Items,
    done: Imported,
}

impl Import {
    /// The place of the next item in the stream, counted from 0.
    pub(crate) fn place(&self) -> usize {
        self.items.place()
    }

    /// Takes the next item.
    pub(crate) async fn take(&mut self, item: Item) -> Result<(), Error> {
        if self.items.take(item)? { self.write().await } else { Ok(()) }
    }

    /// Writes what is left. Returns what the whole import did.
    pub(crate) async fn finish(mut self) -> Result<Imported, Error> {
        self.write().await?;
        Ok(self.done)
    }

    async fn write(&mut self) -> Result<(), Error> {
        let chunk = self.items.chunk();
        if chunk.is_empty() {
            return Ok(());
        }
        let chunk = Arc::new(chunk);
        for last in [false, false, true] {
            let (app, chunk) = (self.app.clone(), Arc::clone(&chunk));
            let write = self.app.database.transaction(ONLY_SHARD, move |tx| {
                async move { app.import_chunk(tx, &chunk).await }.boxed()
            });
            match write.await {
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
