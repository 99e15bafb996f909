//! Counts and sums for an auditor.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::record::Fact;
use crate::amount::{Amount, Currency};

/// How often and how much, of some records.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    captures: u64,
    refunds: u64,
    declines: u64,
    voids: u64,
    #[serde(serialize_with = "as_list")]
    sums: BTreeMap<Currency, Sums>,
}

/// Sums of one currency in minor units, wide enough to hold any number of amounts.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    captured: i128,
    refunded: i128,
}

#[derive(Serialize)]
struct CurrencySums {
    currency: Currency,
    captured_minor_units: i128,
    refunded_minor_units: i128,
}

impl Tally {
    /// Counts one more record.
    pub(super) fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::Capture(charge) => {
                self.captures += 1;
                self.sums(&charge.amount).captured += i128::from(charge.amount.minor_units());
            }
            Fact::Refund(refund) => {
                self.refunds += 1;
                self.sums(&refund.amount).refunded += i128::from(refund.amount.minor_units());
            }
            Fact::Decline(_) => self.declines += 1,
            Fact::Void => self.voids += 1,
        }
    }

    fn sums(&mut self, amount: &Amount) -> &mut Sums {
        self.sums.entry(amount.currency()).or_default()
    }
}

fn as_list<S: Serializer>(
    sums: &BTreeMap<Currency, Sums>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sums.iter().map(|(currency, sums)| CurrencySums {
        currency: *currency,
        captured_minor_units: sums.captured,
        refunded_minor_units: sums.refunded,
    }))
}
