//! One customer's cart and the orders that are made of it, in every order in which it can happen.
//!
//! Cart's rules are those that production calls ([`decide`], [`cart::domain::Checkout`]). What is modelled around them are
//! the statements of its store and of order's, each of them one action, as each is one transaction: reading the cart,
//! taking the lines out if the version is still the same, writing the order if its id was not abandoned,
//! looking for an order and abandoning it, putting lines back. A process may stop between any two of them for ever;
//! what it would have done next may also come later than everything else.

use std::collections::{BTreeMap, BTreeSet};

use cart::domain::{Cart, Checkout, Command, Touched, decide};
use kernel::{OrderId, ProductId};
use stateright::{Model, Property};
use uuid::Uuid;

/// Products that are put in; of each one piece at a time.
pub const PRODUCTS: u128 = 2;

/// The model: how often the cart is changed, how many checkouts there are, and a mistake that must be found.
#[derive(Clone, Debug)]
pub struct Carts {
    /// How often the customer puts a piece in, or removes a product.
    pub changes: usize,
    /// Requests that check out.
    pub requests: usize,
    /// A mistake that must be found.
    pub bug: Option<Mistake>,
}

/// What could be done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The order is written, and the lines stay in the cart until it has heard of that.
    LinesLeaveLater,
    /// Lines go back before it is certain that the order is never written.
    NoFence,
    /// The lines are taken whatever the cart's version is by now.
    AnyVersion,
    /// What was not sold goes back whatever the customer has done since.
    ChangesForgotten,
    /// A checkout that was cut off is taken up with all that it has ever had.
    TakesUpAll,
}

/// What a request has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Request {
    /// Nothing.
    #[default]
    New,
    /// It has read the cart: version and lines.
    Read(i64, Vec<(ProductId, i64)>),
    /// It has the lines for this order.
    Begun(OrderId, Vec<(ProductId, i64)>),
    /// It is over, or nobody goes on with it.
    Over,
}

/// An order's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// What was ordered.
    pub lines: Vec<(ProductId, i64)>,
    /// How it ended: sold, not sold.
    pub sold: Option<bool>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shop {
    /// The cart's rows.
    pub cart: Cart,
    /// Cart's rows of checkouts.
    pub checkouts: BTreeMap<OrderId, Checkout>,
    /// The orders' rows.
    pub orders: BTreeMap<OrderId, Order>,
    /// Orders that will never be written.
    pub abandoned: BTreeSet<OrderId>,
    /// What order has found out and not told cart yet.
    pub to_tell: BTreeSet<(OrderId, Told)>,
    /// The requests.
    pub requests: Vec<Request>,
    /// Pieces that were put in, that is, that were not there before.
    pub put: BTreeMap<ProductId, i64>,
    /// Pieces that the customer removed, or decided on anew.
    pub given_up: BTreeMap<ProductId, i64>,
    /// Pieces whose checkout ended with a sale.
    pub sold: BTreeMap<ProductId, i64>,
    /// Lines of checkouts on which the customer has decided anew.
    decided_anew: BTreeSet<(OrderId, ProductId)>,
    /// One of them was taken up all the same.
    pub unwanted: bool,
    changes: usize,
}

/// What cart is told of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// Its lines go back.
    Returned,
    /// They do not.
    Closed,
}

/// One transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The customer puts one piece in.
    Put(ProductId),
    /// The customer removes a product.
    Remove(ProductId),
    /// A request reads the cart.
    Read(usize),
    /// It has cart take the lines out, or takes a checkout up that was cut off.
    Begin(usize),
    /// It writes the order.
    Write(usize),
    /// Order looks whether this order was written; if not, it never will be.
    Resolve(OrderId),
    /// An order ends with a sale, or without.
    End(OrderId, bool),
    /// Cart hears how it ended, by the event or from order, once more perhaps.
    Tell(OrderId, Told),
}

fn product(number: u128) -> ProductId {
    Uuid::from_u128(number + 1).into()
}

/// Each request has an id of its own for an order.
fn order(request: usize) -> OrderId {
    Uuid::from_u128(request as u128 + 100).into()
}

fn lines(cart: &Cart) -> Vec<(ProductId, i64)> {
    cart.lines.iter().map(|line| (line.product, line.quantity)).collect()
}

fn add(to: &mut BTreeMap<ProductId, i64>, lines: &[(ProductId, i64)]) {
    for (product, pieces) in lines {
        *to.entry(*product).or_default() += pieces;
    }
}

impl Shop {
    /// As cart's store changes a cart: the lines, the version, and what does not come back any more.
    fn change(&mut self, command: &Command, bug: Option<Mistake>) {
        let Ok(change) = decide(&self.cart, command) else { return };
        if change.is_empty() && self.checkouts.is_empty() {
            return;
        }
        let version = self.cart.version + 1;
        self.cart.apply(&change);
        self.cart.version = version;
        let Touched::Product(product) = command.touches() else { return };
        for checkout in self.checkouts.values_mut() {
            if checkout.lines.iter().all(|(line, _)| *line != product) {
                continue;
            }
            self.decided_anew.insert((checkout.order, product));
            if bug != Some(Mistake::ChangesForgotten) {
                checkout.changed.push(product);
            }
        }
    }

    fn put(&mut self, product: ProductId, bug: Option<Mistake>) {
        self.changes += 1;
        if self.cart.line(product).is_none() {
            add(&mut self.put, &[(product, 1)]);
        }
        self.change(&Command::Put(product, 1), bug);
    }

    fn remove(&mut self, product: ProductId, bug: Option<Mistake>) {
        self.changes += 1;
        let pieces = self.cart.line(product).map_or(0, |line| line.quantity);
        add(&mut self.given_up, &[(product, pieces)]);
        self.change(&Command::Remove(product), bug);
    }

    fn begin(&mut self, request: usize, bug: Option<Mistake>) {
        let Request::Read(version, seen) = self.requests[request].clone() else { return };
        let id = order(request);
        self.requests[request] = if seen.is_empty() {
            // An empty cart: whatever was cut off is taken up.
            self.take_up(bug)
        } else if self.cart.version == version || bug == Some(Mistake::AnyVersion) {
            let taken = lines(&self.cart);
            if bug != Some(Mistake::LinesLeaveLater) && !taken.is_empty() {
                let checkout =
                    Checkout { order: id, cart_version: version, lines: taken, changed: vec![] };
                self.checkouts.insert(id, checkout);
                self.change(&Command::Clear, bug);
            }
            Request::Begun(id, seen)
        } else {
            Request::Over // reads again: another request
        };
    }

    fn take_up(&mut self, bug: Option<Mistake>) -> Request {
        let mut cut_off = self.checkouts.values().rev();
        let cut_off = cut_off.find(|it| !self.orders.contains_key(&it.order));
        let Some(checkout) = cut_off else { return Request::Over };
        let lines: Vec<_> = match bug {
            Some(Mistake::TakesUpAll) => checkout.lines.clone(),
            _ => checkout.unchanged().collect(),
        };
        let id = checkout.order;
        self.unwanted |= lines.iter().any(|(line, _)| self.decided_anew.contains(&(id, *line)));
        if lines.is_empty() { Request::Over } else { Request::Begun(id, lines) }
    }

    fn write(&mut self, request: usize) {
        let before = std::mem::replace(&mut self.requests[request], Request::Over);
        let Request::Begun(id, lines) = before else { return };
        if !self.abandoned.contains(&id) {
            self.orders.entry(id).or_insert(Order { lines, sold: None });
        }
    }

    fn resolve(&mut self, id: OrderId, bug: Option<Mistake>) {
        if self.orders.contains_key(&id) {
            return; // its events will come
        }
        if bug != Some(Mistake::NoFence) {
            self.abandoned.insert(id);
        }
        self.to_tell.insert((id, Told::Returned));
    }

    fn tell(&mut self, id: OrderId, told: Told) {
        let Some(checkout) = self.checkouts.remove(&id) else { return };
        let sold = match (told, self.orders.get(&id)) {
            (Told::Closed, Some(order)) => order.lines.clone(),
            _ => Vec::new(),
        };
        let anew = checkout
            .lines
            .iter()
            .filter(|line| checkout.changed.contains(&line.0) && !sold.contains(line));
        add(&mut self.given_up, &anew.copied().collect::<Vec<_>>());
        add(&mut self.sold, &sold);
        if told == Told::Returned {
            self.change(&checkout.give_back(), None);
        }
    }

    /// Of one product, what is in the cart, in checkouts, and in orders that may be or were sold.
    fn accounts(&self, product: ProductId) -> (i64, i64, i64) {
        let of = |lines: &[(ProductId, i64)]| -> i64 {
            lines.iter().filter(|(line, _)| *line == product).map(|(_, pieces)| pieces).sum()
        };
        let ordered = self.orders.values().filter(|order| order.sold != Some(false));
        (
            self.cart.line(product).map_or(0, |line| line.quantity),
            self.checkouts.values().map(|checkout| of(&checkout.lines)).sum(),
            ordered.map(|order| of(&order.lines)).sum(),
        )
    }
}

fn count(of: &BTreeMap<ProductId, i64>, product: ProductId) -> i64 {
    of.get(&product).copied().unwrap_or_default()
}

impl Carts {
    fn all(&self, claim: fn(&Shop, ProductId) -> bool, shop: &Shop) -> bool {
        (0..PRODUCTS).all(|number| claim(shop, product(number)))
    }

    /// Whatever can happen next.
    pub fn steps(&self, shop: &Shop) -> Vec<Step> {
        let mut steps = Vec::new();
        self.actions(shop, &mut steps);
        steps
    }

    /// The first claim that does not hold.
    pub fn broken(&self, shop: &Shop) -> Option<&'static str> {
        let properties = self.properties();
        properties.iter().find(|it| !(it.condition)(self, shop)).map(|it| it.name)
    }
}

impl Model for Carts {
    type State = Shop;
    type Action = Step;

    fn init_states(&self) -> Vec<Shop> {
        vec![Shop { requests: vec![Request::New; self.requests], ..Shop::default() }]
    }

    fn actions(&self, shop: &Shop, steps: &mut Vec<Step>) {
        for number in 0..PRODUCTS {
            if shop.changes < self.changes {
                steps.push(Step::Put(product(number)));
                steps.push(Step::Remove(product(number)));
            }
        }
        for (number, request) in shop.requests.iter().enumerate() {
            match request {
                Request::New => steps.push(Step::Read(number)),
                Request::Read(..) => steps.push(Step::Begin(number)),
                Request::Begun(..) => steps.push(Step::Write(number)),
                Request::Over => {}
            }
        }
        for id in shop.checkouts.keys().filter(|id| !shop.orders.contains_key(id)) {
            steps.push(Step::Resolve(*id));
        }
        for (id, order) in &shop.orders {
            if order.sold.is_none() {
                steps.extend([true, false].map(|sold| Step::End(*id, sold)));
            }
        }
        steps.extend(shop.to_tell.iter().map(|(id, told)| Step::Tell(*id, *told)));
    }

    fn next_state(&self, shop: &Shop, step: Step) -> Option<Shop> {
        let mut next = shop.clone();
        match step {
            Step::Put(product) => next.put(product, self.bug),
            Step::Remove(product) => next.remove(product, self.bug),
            // Nothing to order: the customer comes back later.
            Step::Read(_) if next.cart.lines.is_empty() && next.checkouts.is_empty() => {}
            Step::Read(request) => {
                next.requests[request] = Request::Read(next.cart.version, lines(&next.cart));
            }
            Step::Begin(request) => next.begin(request, self.bug),
            Step::Write(request) => next.write(request),
            Step::Resolve(id) => next.resolve(id, self.bug),
            Step::End(id, sold) => {
                next.orders.get_mut(&id)?.sold = Some(sold);
                next.to_tell.insert((id, if sold { Told::Closed } else { Told::Returned }));
            }
            Step::Tell(id, told) => next.tell(id, told),
        }
        (next != *shop).then_some(next)
    }

    #[expect(clippy::too_many_lines, reason = "a list, and each entry reads alone")]
    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "what was put in once is bought once at most",
                |model: &Self, shop| {
                    model.all(
                        |shop, product| {
                            let (.., ordered) = shop.accounts(product);
                            ordered <= count(&shop.put, product)
                        },
                        shop,
                    )
                },
            ),
            Property::always("what is ordered is in no cart", |model: &Self, shop| {
                model.all(
                    |shop, product| {
                        let (in_cart, _, ordered) = shop.accounts(product);
                        in_cart + ordered + count(&shop.given_up, product)
                            <= count(&shop.put, product)
                    },
                    shop,
                )
            }),
            Property::always("no piece is lost", |model: &Self, shop| {
                model.all(
                    |shop, product| {
                        let (in_cart, in_checkouts, _) = shop.accounts(product);
                        let there = in_cart + in_checkouts + count(&shop.sold, product);
                        there + count(&shop.given_up, product) == count(&shop.put, product)
                    },
                    shop,
                )
            }),
            Property::always("the customer's last word on a line stands", |_, shop: &Shop| {
                shop.cart.lines.iter().all(|line| line.quantity == 1) // as was said each time
            }),
            Property::always("an order has what left the cart for it", |_, shop: &Shop| {
                shop.checkouts.values().all(|checkout| {
                    let Some(order) = shop.orders.get(&checkout.order) else { return true };
                    let left =
                        |line| order.lines.contains(line) || checkout.changed.contains(&line.0);
                    order.lines.iter().all(|line| checkout.lines.contains(line))
                        && checkout.lines.iter().all(left)
                })
            }),
            Property::always("what the customer took back is not taken up", |_, shop: &Shop| {
                !shop.unwanted
            }),
        ]
    }
}
