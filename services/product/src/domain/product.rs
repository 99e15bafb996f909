//! A product's life in the catalogue: added, revised, repriced, retired (a soft delete). Every change makes a new
//! version; what changes nothing makes none.

use kernel::{Money, ProductId};

use super::{Offer, Rejection};

/// What it says on the label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// One line.
    pub name: String,
    /// As many lines as it takes.
    pub description: String,
    /// One of the shop's sections.
    pub category: String,
}

/// A product of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// The key that the outside knows it by.
    pub sku: String,
    /// What it says on the label.
    pub listing: Listing,
    /// For one piece.
    pub price: Money,
    /// Grows with every change.
    pub version: i64,
    /// Whether it is off sale, for ever.
    pub retired: bool,
}

/// What staff wants of a product.
#[derive(Clone, Debug)]
pub enum Command {
    /// Another label, on the version that staff has seen.
    Revise {
        /// The version seen.
        version: i64,
        /// The label.
        listing: Listing,
    },
    /// Another price.
    ChangePrice(Money),
    /// No more sales.
    Retire,
}

/// What happened to a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is in the catalogue.
    Added,
    /// It has another label.
    Revised(Listing),
    /// It has another price.
    PriceChanged(Money),
    /// It is off sale.
    Retired,
}

impl Product {
    /// A new product.
    pub fn new(id: ProductId, offer: &Offer) -> Self {
        let Offer { sku, listing, price, .. } = offer.clone();
        Self { id, sku, listing, price, version: 1, retired: false }
    }

    /// The product after the event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Added => return,
            Event::Revised(listing) => self.listing = listing.clone(),
            Event::PriceChanged(price) => self.price = *price,
            Event::Retired => self.retired = true,
        }
        self.version += 1;
    }
}

/// What comes of a command; nothing when the product is so already.
pub fn decide(product: &Product, command: Command) -> Result<Option<Event>, Rejection> {
    Ok(match command {
        Command::Revise { version, .. } if version != product.version => {
            return Err(Rejection::VersionConflict { current: product.version });
        }
        Command::Revise { listing, .. } => {
            (listing != product.listing).then_some(Event::Revised(listing))
        }
        Command::ChangePrice(price) => {
            (price != product.price).then_some(Event::PriceChanged(price))
        }
        Command::Retire => (!product.retired).then_some(Event::Retired),
    })
}

/// What comes of an offer in a catalogue file for a product that is there. A retired product gets
/// the new label and price, but stays retired: a file is no decision to sell it again.
pub fn import(product: &Product, offer: &Offer) -> Vec<Event> {
    let revised = (offer.listing != product.listing).then(|| Event::Revised(offer.listing.clone()));
    let changed = (offer.price != product.price).then_some(Event::PriceChanged(offer.price));
    revised.into_iter().chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, price: i64) -> Offer {
        let listing = Listing { name: name.into(), ..Listing::default() };
        Offer { sku: "A".into(), listing, price: Money::gbp(price), opening_stock: 5 }
    }

    fn product() -> Product {
        Product::new(ProductId::mint(), &offer("cup", 100))
    }

    fn after(product: &Product, events: &[Event]) -> Product {
        let mut product = product.clone();
        events.iter().for_each(|event| product.apply(event));
        product
    }

    #[test]
    fn each_command_changes_what_it_says_and_the_version() {
        let cup = product();
        let mug = offer("mug", 100).listing;
        let commands = [
            Command::Revise { version: 1, listing: mug.clone() },
            Command::ChangePrice(Money::gbp(90)),
            Command::Retire,
        ];
        let expected = [
            Product { listing: mug, version: 2, ..cup.clone() },
            Product { price: Money::gbp(90), version: 2, ..cup.clone() },
            Product { retired: true, version: 2, ..cup.clone() },
        ];
        for (command, expected) in commands.into_iter().zip(expected) {
            let event = decide(&cup, command.clone()).unwrap().unwrap();
            let changed = after(&cup, &[event]);
            assert_eq!(changed, expected);
            let again = match command {
                Command::Revise { listing, .. } => Command::Revise { version: 2, listing },
                other => other,
            };
            assert_eq!(decide(&changed, again), Ok(None), "the second time changes nothing");
        }
    }

    #[test]
    fn a_revision_of_a_version_that_is_gone_is_refused() {
        let cup = after(&product(), &[Event::PriceChanged(Money::gbp(1))]);
        for version in [0, 1, 3] {
            let command = Command::Revise { version, listing: Listing::default() };
            assert_eq!(decide(&cup, command), Err(Rejection::VersionConflict { current: 2 }));
        }
    }

    #[test]
    fn an_import_brings_the_product_to_the_file_and_then_changes_nothing() {
        for (name, price, steps) in
            [("cup", 100, 0), ("mug", 100, 1), ("cup", 90, 1), ("mug", 90, 2)]
        {
            let (cup, file) = (product(), offer(name, price));
            let events = import(&cup, &file);
            let imported = after(&cup, &events);
            assert_eq!((events.len(), imported.version), (steps, 1 + steps as i64));
            assert_eq!((&imported.listing, imported.price), (&file.listing, file.price));
            assert!(import(&imported, &file).is_empty());
        }
    }

    #[test]
    fn an_import_does_not_bring_back_what_was_retired() {
        let gone = after(&product(), &[Event::Retired]);
        let imported = after(&gone, &import(&gone, &offer("mug", 90)));
        assert!(imported.retired);
    }
}
