//! The records in memory, and the rules that every one of them must pass: the same rules for a request and for a line
//! that is read back at start.

use std::{collections::HashMap, sync::Arc};

use super::{
    record::{Fact, Record, Refund},
    tally::Tally,
};

/// All records, and the ways to find one.
#[derive(Debug, Default)]
pub(super) struct Book {
    records: Vec<Arc<Record>>,
    captures: HashMap<Arc<str>, u64>,
    refunds: HashMap<Arc<str>, u64>,
    refunded_minor: HashMap<u64, i64>,
    /// Newest record of a reference; `older` leads from each record to the one before it (0: none).
    references: HashMap<Arc<str>, u64>,
    older: Vec<u64>,
    total: Tally,
}

/// Why a record cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("its seq does not follow the one before")]
    OutOfSequence,
    #[error("its key was used before")]
    KeyUsed,
    #[error("the capture it refunds does not exist")]
    UnknownCapture,
    #[error("its currency is not that of the capture")]
    CurrencyMismatch,
    #[error("it refunds more than was captured")]
    RefundExceedsCapture,
}

impl Book {
    /// The seq the next record is to have.
    pub(super) fn next_seq(&self) -> u64 {
        self.records.len() as u64 + 1
    }

    /// The record at `seq`.
    pub(super) fn get(&self, seq: u64) -> Option<&Arc<Record>> {
        self.records.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// What became of a capture key: a capture, decline or void.
    pub(super) fn capture_by_key(&self, key: &str) -> Option<&Arc<Record>> {
        self.get(*self.captures.get(key)?)
    }

    /// What became of a refund key.
    pub(super) fn refund_by_key(&self, key: &str) -> Option<&Arc<Record>> {
        self.get(*self.refunds.get(key)?)
    }

    /// The records after `seq`, in order.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Arc<Record>> {
        self.records.iter().skip(usize::try_from(seq).unwrap_or(usize::MAX))
    }

    /// Counts and sums of one reference, or of everything.
    pub(super) fn tally(&self, reference: Option<&str>) -> Tally {
        let Some(reference) = reference else { return self.total.clone() };
        let newest = self.references.get(reference).copied().unwrap_or(0);
        let mut tally = Tally::default();
        std::iter::successors(self.get(newest), |record| {
            self.get(*self.older.get(usize::try_from(record.seq - 1).ok()?)?)
        })
        .for_each(|record| tally.add(&record.fact));
        tally
    }

    /// Takes a record in, if the rules allow it; changes nothing otherwise.
    pub(super) fn admit(&mut self, record: Record) -> Result<Arc<Record>, Violation> {
        if record.seq != self.next_seq() {
            return Err(Violation::OutOfSequence);
        }
        if let Fact::Refund(refund) = &record.fact {
            self.refunded_minor.insert(refund.capture, self.refund_total(&record.key, refund)?);
            self.refunds.insert(Arc::clone(&record.key), record.seq);
        } else {
            if self.captures.contains_key(&record.key) {
                return Err(Violation::KeyUsed);
            }
            self.captures.insert(Arc::clone(&record.key), record.seq);
        }
        Ok(self.push(record))
    }

    /// What the capture will have given back with this refund, in minor units.
    fn refund_total(&self, key: &str, refund: &Refund) -> Result<i64, Violation> {
        if self.refunds.contains_key(key) {
            return Err(Violation::KeyUsed);
        }
        let capture = self.get(refund.capture).ok_or(Violation::UnknownCapture)?;
        let Fact::Capture(charge) = &capture.fact else { return Err(Violation::UnknownCapture) };
        if charge.amount.currency() != refund.amount.currency() {
            return Err(Violation::CurrencyMismatch);
        }
        let so_far = self.refunded_minor.get(&refund.capture).copied().unwrap_or(0);
        so_far
            .checked_add(refund.amount.minor_units())
            .filter(|total| *total <= charge.amount.minor_units())
            .ok_or(Violation::RefundExceedsCapture)
    }

    fn push(&mut self, record: Record) -> Arc<Record> {
        self.total.add(&record.fact);
        let older = match record.fact.reference() {
            Some(reference) => self.references.insert(Arc::clone(reference), record.seq),
            None => None,
        };
        self.older.push(older.unwrap_or(0));
        let record = Arc::new(record);
        self.records.push(Arc::clone(&record));
        record
    }
}
