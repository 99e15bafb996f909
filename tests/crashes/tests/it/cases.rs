//! Who passes which crash point, and while what.

use std::fmt;

use crash::Point;

use crate::actions::Action::{self, *};

/// One death.
#[derive(Clone, Copy)]
pub struct Case {
    pub service: &'static str,
    pub point: Point,
    pub action: Action,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, point, action } = self;
        write!(f, "{service} at {} while somebody {action}", point.name())
    }
}

/// A point that is new does not compile before it is here, and each is reached or the test fails.
#[expect(clippy::too_many_lines, reason = "a list: an arm for each variant")]
fn passed(point: Point) -> &'static [(&'static str, Action)] {
    match point {
        Point::CommitBefore | Point::CommitAfter => &[
            ("order", Buys),
            ("order", BuysAgain),
            ("order", Pays),
            ("order", Cancels),
            ("order", Waits),
            ("order", Returns),
            ("order", Receives),
            ("product", Receives),
            ("payment", Receives),
            ("product", Buys),
            ("product", Delivers),
            ("cart", Buys),
            ("cart", BuysAgain),
            ("cart", BuysInVain),
            ("cart", SignsIn),
            ("payment", Buys),
            ("payment", Pays),
            ("product", Imports),
            ("user", Registers),
            ("user", Erases),
            ("cart", Erases),
            ("order", Erases),
        ],
        Point::GroupBefore | Point::GroupAfter => &[("order", ManyBuy)],
        Point::ImportChunkBefore | Point::ImportChunkAfter => &[("product", Imports)],
        Point::CheckoutBegun => &[("cart", Buys), ("cart", BuysAgain), ("cart", BuysInVain)],
        Point::RelayFetched | Point::RelayPublished | Point::RelayMarked => {
            &[("order", Buys), ("product", Buys), ("payment", Buys), ("user", Registers)]
        }
        Point::RelayRewinding => &[("order", LosesTheBus)],
        // What comes again must find that its effect is there: the cart has more to lose by now.
        Point::ConsumerHandled => {
            &[("product", Buys), ("cart", BuysAndGoesOn), ("order", Buys), ("payment", Buys)]
        }
        Point::ConsumerAcknowledged => {
            &[("product", Buys), ("cart", Buys), ("order", Buys), ("payment", Buys)]
        }
        Point::WebhookNoted | Point::PspCaptureBefore | Point::PspCaptureAfter => {
            &[("payment", Buys)]
        }
        Point::PspAskBefore | Point::PspAskAfter => &[("payment", BuysByABadLine)],
        Point::PspVoidBefore | Point::PspVoidAfter => &[("payment", Cancels)],
        Point::PaymentClaimed | Point::PspRefundBefore | Point::PspRefundAfter => {
            &[("payment", Receives)]
        }
    }
}

/// All deaths.
pub fn all() -> Vec<Case> {
    let cases = Point::ALL.iter().flat_map(|&point| {
        let by = passed(point);
        assert!(!by.is_empty(), "nobody passes {}", point.name());
        by.iter().map(move |&(service, action)| Case { service, point, action })
    });
    cases.collect()
}
