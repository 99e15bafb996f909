//! Everything about one order, in all places that know of it.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Money, OrderId, ProductId, ReturnId};
use order::domain::checkout::{self, Signal, State};
use order::domain::returns;
use payment::domain::{Effect, Payment, RefundId};
use product::domain::stock::{self, Reservation};
use uuid::Uuid;

/// What is published of an order, by whichever context. Each is published once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum News {
    /// By order.
    Placed,
    /// By order: asks for payment.
    StockHeld,
    /// By order.
    Confirmed,
    /// By order.
    Cancelled,
    /// By order: staff has received one piece back.
    Returned,
    /// By product.
    StockReserved,
    /// By product.
    StockRejected,
    /// By payment.
    PaymentCaptured,
    /// By payment.
    PaymentDeclined,
    /// By payment: declined because it was too late to ask.
    PaymentExpired,
    /// By payment: of a return.
    PaymentRefunded,
}

/// Who takes news in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// The order context.
    Order,
    /// The product context.
    Product,
    /// The payment context.
    Payment,
}

impl News {
    /// Who must hear of it.
    pub fn readers(self) -> &'static [Context] {
        match self {
            Self::Placed | Self::Confirmed => &[Context::Product],
            Self::StockHeld => &[Context::Payment],
            Self::Cancelled | Self::Returned => &[Context::Product, Context::Payment],
            Self::StockReserved
            | Self::StockRejected
            | Self::PaymentCaptured
            | Self::PaymentDeclined
            | Self::PaymentExpired
            | Self::PaymentRefunded => &[Context::Order],
        }
    }
}

/// What the provider has decided about the payment's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Nothing yet.
    #[default]
    None,
    /// The money was taken.
    Captured,
    /// The card was refused.
    Declined,
    /// Nothing will ever be captured.
    Voided,
}

/// The provider's own book on one order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Provider {
    /// A capture was sent. It may arrive at any time from then on.
    pub asked: bool,
    /// What came of it.
    pub decision: Decision,
    /// How often money was taken.
    pub captures: u8,
    /// What was given back, by key.
    pub refunds: BTreeMap<RefundId, i64>,
}

impl Provider {
    /// From now on nothing is captured, unless it was already decided.
    pub fn make_void(&mut self) {
        if self.decision == Decision::None {
            self.decision = Decision::Voided;
        }
    }
}

/// One order and all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sale {
    /// Pieces that are wanted.
    pub pieces: i64,
    /// The order's row.
    pub state: State,
    /// The row of the return of one piece, once it is requested.
    pub back: Option<returns::State>,
    /// Product's row.
    pub reservation: Reservation,
    /// Payment's row.
    pub payment: Payment,
    /// The provider's book.
    pub provider: Provider,
    /// What was published.
    pub published: BTreeSet<News>,
    /// Who has heard of what.
    pub heard: BTreeSet<(Context, News)>,
}

/// What a piece costs, in pence.
pub const PRICE: i64 = 100;
/// The only product.
pub const PRODUCT: u128 = 7;

impl Sale {
    /// An order that was just placed.
    pub fn new(number: usize, pieces: i64) -> Self {
        Self {
            pieces,
            state: State::Placed,
            back: None,
            reservation: Reservation::default(),
            payment: Payment::new(OrderId::from(Uuid::from_u128(number as u128 + 1))),
            provider: Provider::default(),
            published: BTreeSet::from([News::Placed]),
            heard: BTreeSet::new(),
        }
    }

    /// What it costs.
    pub fn total(&self) -> Money {
        Money::gbp(self.pieces * PRICE)
    }

    /// So many pieces of the only product.
    pub fn line(pieces: i64) -> Vec<stock::Line> {
        vec![stock::Line { product: product(), quantity: pieces }]
    }

    /// The id of the only return.
    pub fn return_id(&self) -> ReturnId {
        ReturnId::from(Uuid::from_u128(9))
    }

    /// The order hears of something. Whether that was refused is the customer's affair.
    pub fn signal(&mut self, signal: Signal) {
        if let Ok(Some(event)) = checkout::decide(self.state, signal) {
            self.happened(event);
        }
    }

    /// The order's row and what is published of the change.
    pub fn happened(&mut self, event: checkout::Event) {
        self.state = event.state();
        self.published.insert(match event {
            checkout::Event::StockHeld => News::StockHeld,
            checkout::Event::Confirmed => News::Confirmed,
            checkout::Event::Cancelled(_) => News::Cancelled,
        });
    }

    /// Whether staff has received the piece that came back.
    pub fn is_back(&self) -> bool {
        matches!(self.back, Some(returns::State::Received | returns::State::Refunded))
    }

    /// Something happens to the return. What is received is published.
    pub fn turn(&mut self, input: returns::Input) {
        let next = self.back.and_then(|state| returns::next(state, input).ok().flatten());
        if next == Some(returns::State::Received) {
            self.published.insert(News::Returned);
        }
        self.back = next.or(self.back);
    }

    /// Payment hears of something and publishes what comes of it.
    pub fn pay(&mut self, news: payment::domain::News) {
        let effects = self.payment.hear(news).unwrap_or_default();
        for effect in effects {
            match effect {
                Effect::Captured { .. } => drop(self.published.insert(News::PaymentCaptured)),
                Effect::Declined(_) => drop(self.published.insert(News::PaymentDeclined)),
                Effect::Expired => drop(self.published.insert(News::PaymentExpired)),
                Effect::RefundAsked(_) => {} // the intent is a row of the payment
                Effect::Refunded { refund, .. } | Effect::Settled(refund) => {
                    if refund.id != RefundId::Cancellation {
                        self.published.insert(News::PaymentRefunded);
                    }
                }
            }
        }
    }
}

/// The id of the only product.
pub fn product() -> ProductId {
    ProductId::from(Uuid::from_u128(PRODUCT))
}
