//! What a checkout carries from step to step.

use kernel::{AddressId, CartId, Money, PaymentMethodId};
use sha2::{Digest as _, Sha256};

use crate::domain::{Line, Rejection};
use crate::store::placing::KeptReply;

/// A checkout that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    pub key: String,
    pub payment_method: PaymentMethodId,
    pub address: Option<AddressId>,
    /// What the customer has agreed to pay.
    pub expected_total: Option<Money>,
}

impl Checkout {
    /// The kept answer, if it was given to this request.
    pub(super) fn same_request(&self, kept: KeptReply) -> Result<Vec<u8>, Rejection> {
        let same = kept.fingerprint == self.fingerprint();
        if same { Ok(kept.reply) } else { Err(Rejection::KeyReused) }
    }

    /// A hash of the request (SHA-256): tells a repetition from the same key with a different body.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        let address = self.address.map(|id| id.to_string()).unwrap_or_default();
        let mut request = format!("{}/{address}", self.payment_method);
        if let Some(total) = self.expected_total {
            request.push_str(&format!("/{}{}", total.minor, total.currency.code()));
        }
        Sha256::digest(request).to_vec()
    }
}

/// What a checkout found out before it writes.
pub(super) struct Priced {
    pub cart: (CartId, i64),
    pub lines: Vec<Line>,
    pub total: Money,
    pub ship_to: serde_json::Value,
}
