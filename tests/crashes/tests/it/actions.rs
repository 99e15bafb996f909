//! What people do.

use std::fmt;

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Buys,
    /// Many customers, at one moment.
    ManyBuy,
    /// Two products, one after the other, without a pause.
    BuysAgain,
    /// With a card that is refused.
    BuysInVain,
    /// The provider is silent until the service is armed.
    Pays,
    /// The bus is away until the service is armed, and one more piece is in the cart by then.
    BuysAndGoesOn,
    /// The answer to the charge is lost.
    BuysByABadLine,
    /// While the provider thinks.
    Cancels,
    /// In vain, until the deadline.
    Waits,
    Returns,
    /// As a member of staff, what somebody has sent back.
    Receives,
    Registers,
    /// With a guest's cart.
    SignsIn,
    /// To the shop's own shelf.
    Delivers,
    /// A catalogue of one product.
    Imports,
    /// Their account, after they bought something.
    Erases,
    /// NATS loses its data.
    LosesTheBus,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buys => "buys",
            Self::ManyBuy => "and many others buy",
            Self::BuysAgain => "buys twice without a pause",
            Self::BuysInVain => "buys with a card that is refused",
            Self::Pays => "pays",
            Self::BuysAndGoesOn => "buys and puts more in the cart",
            Self::BuysByABadLine => "buys by a bad line",
            Self::Cancels => "cancels",
            Self::Waits => "waits for the deadline",
            Self::Returns => "sends something back",
            Self::Receives => "receives what was sent back",
            Self::Registers => "registers",
            Self::SignsIn => "signs in with a guest's cart",
            Self::Delivers => "delivers stock",
            Self::Imports => "imports a catalogue",
            Self::Erases => "erases their account",
            Self::LosesTheBus => "loses the bus's data",
        })
    }
}
