//! What goes out: the views of a record that callers and auditors see.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;

use crate::{
    amount::Amount,
    id::Id,
    ledger::{Fact, Record},
};

/// The result that is recorded under a capture key.
#[derive(Debug, Serialize)]
pub struct Outcome {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capture_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
}

impl Outcome {
    /// What a record under a capture key means to its caller.
    pub fn of(record: &Record, ledger: u32) -> Self {
        let nothing = Self { status: "voided", code: None, capture_id: None, amount: None };
        match &record.fact {
            Fact::Capture(charge) => Self {
                status: "captured",
                capture_id: Some(Id::capture(ledger, record.seq)),
                amount: Some(charge.amount),
                ..nothing
            },
            Fact::Decline(charge) => Self {
                status: "declined",
                code: Some("card_declined"),
                amount: Some(charge.amount),
                ..nothing
            },
            Fact::Void | Fact::Refund(_) => nothing, // refunds have keys of their own
        }
    }
}

/// The answer to a capture: the same for the request that made the record and for every later one.
pub fn to_capture(record: &Record, ledger: u32) -> Response {
    let status = match &record.fact {
        Fact::Capture(_) => StatusCode::OK,
        Fact::Decline(_) => StatusCode::PAYMENT_REQUIRED,
        Fact::Void | Fact::Refund(_) => StatusCode::CONFLICT,
    };
    (status, Json(Outcome::of(record, ledger))).into_response()
}

#[derive(Serialize)]
struct Refunded {
    refund_id: Id,
    status: &'static str,
}

/// The answer to a refund.
pub fn to_refund(record: &Record, ledger: u32) -> Response {
    Json(Refunded { refund_id: Id::refund(ledger, record.seq), status: "refunded" }).into_response()
}

/// One movement of money, for an auditor.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    seq: u64,
    kind: &'static str,
    key: &'a str,
    reference: &'a str,
    capture_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<Id>,
    amount: Amount,
    created_unix_ms: i64,
}

impl<'a> Entry<'a> {
    /// The movement that a record tells of; None: it moved nothing.
    pub fn of(record: &'a Record, ledger: u32) -> Option<Self> {
        let (kind, amount, reference, capture, refund_id) = match &record.fact {
            Fact::Capture(charge) => {
                ("capture", charge.amount, &charge.reference, record.seq, None)
            }
            Fact::Refund(refund) => {
                let id = Id::refund(ledger, record.seq);
                ("refund", refund.amount, &refund.reference, refund.capture, Some(id))
            }
            Fact::Decline(_) | Fact::Void => return None,
        };
        Some(Self {
            seq: record.seq,
            kind,
            key: &record.key,
            reference,
            capture_id: Id::capture(ledger, capture),
            refund_id,
            amount,
            created_unix_ms: record.at,
        })
    }
}

/// Some movements and where to go on.
#[derive(Debug, Serialize)]
pub struct Page<'a> {
    /// In order of `seq`.
    pub entries: Vec<Entry<'a>>,
    /// What to ask `after` next; null at the end.
    pub next: Option<u64>,
}
