//! Finding traces that are kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::span::Span;

const LIMIT_MAX: usize = 200;
const LIMIT: usize = 50;

/// Which traces are wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// One in which an event of this order was published.
    pub order: Option<String>,
    /// One that this service took part in.
    pub service: Option<String>,
    /// One in which something failed.
    pub failed: bool,
    /// One that took so long at least, in milliseconds.
    pub min_ms: u64,
    /// So many at most; 50 without it, 200 at most.
    pub limit: Option<usize>,
}

/// What a trace is about, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// What its first span is called.
    pub name: String,
    /// Where that was.
    pub service: String,
    /// Nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// From the beginning of the first span to the end of the last, in nanoseconds.
    pub duration_ns: u64,
    /// How many spans there are.
    pub spans: usize,
    /// Whether one of them ended badly.
    pub failed: bool,
    /// Who took part.
    pub services: Vec<String>,
}

impl Query {
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).min(LIMIT_MAX)
    }

    /// Whether these spans are a trace that is wanted.
    pub(super) fn finds(&self, spans: &[Span]) -> bool {
        let wanted = |order: &String| spans.iter().any(|it| it.publishes_of(order));
        let took_part = |service: &String| spans.iter().any(|it| it.service == *service);
        self.order.as_ref().is_none_or(wanted)
            && self.service.as_ref().is_none_or(took_part)
            && (!self.failed || spans.iter().any(|it| it.failed))
            && duration_ns(spans) >= self.min_ms.saturating_mul(1_000_000)
    }
}

impl Summary {
    /// Of a trace; none of one without spans.
    pub(super) fn of(trace_id: &str, spans: &[Span]) -> Option<Self> {
        let first =
            spans.iter().min_by_key(|it| (it.start_unix_ns, it.parent_span_id.is_some()))?;
        let services: BTreeSet<&str> = spans.iter().map(|it| it.service.as_str()).collect();
        Some(Self {
            trace_id: trace_id.to_owned(),
            name: first.name.clone(),
            service: first.service.clone(),
            start_unix_ns: first.start_unix_ns,
            duration_ns: duration_ns(spans),
            spans: spans.len(),
            failed: spans.iter().any(|it| it.failed),
            services: services.into_iter().map(str::to_owned).collect(),
        })
    }
}

fn duration_ns(spans: &[Span]) -> u64 {
    let start = spans.iter().map(|it| it.start_unix_ns).min().unwrap_or_default();
    let end = spans.iter().map(|it| it.start_unix_ns.saturating_add(it.duration_ns)).max();
    end.unwrap_or_default().saturating_sub(start)
}
