//! Recent traces, in memory, within limits: the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::search::{Query, Summary};
use super::span::{Span, Trace};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Traces.
    pub traces: usize,
    /// Approximate size, in bytes.
    pub bytes: usize,
    /// Since the first span of a trace.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { traces: 2_000, bytes: 64 << 20, age: Duration::from_secs(600) }
    }
}

#[derive(Debug)]
pub(super) struct Kept {
    limits: Limits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    traces: HashMap<String, Vec<Span>>,
    /// In the order of their first spans.
    ages: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl Kept {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, inner: Mutex::default() }
    }

    pub(super) fn add(&self, spans: impl Iterator<Item = (String, Span)>) {
        let mut inner = self.lock();
        for (trace_id, span) in spans {
            inner.add(trace_id, span);
            inner.shrink(&self.limits);
        }
    }

    /// What was received of a trace so far.
    pub(super) fn trace(&self, trace_id: &str) -> Option<Trace> {
        let mut inner = self.lock();
        inner.shrink(&self.limits);
        let mut spans = inner.traces.get(trace_id)?.clone();
        drop(inner);
        spans.sort_by_key(|span| span.start_unix_ns);
        Some(Trace { trace_id: trace_id.to_owned(), spans })
    }

    /// The oldest trace in which an event of this order, or whatever else has this id, was published.
    pub(super) fn trace_of(&self, id: &str) -> Option<Trace> {
        let inner = self.lock();
        let mut trace_ids = inner.ages.iter().map(|(_, trace_id)| trace_id);
        let publishes = |trace_id: &&String| {
            let mut spans = inner.traces.get(*trace_id).into_iter().flatten();
            spans.any(|span| span.publishes_of(id))
        };
        let trace_id = trace_ids.find(publishes)?.clone();
        drop(inner);
        self.trace(&trace_id)
    }

    /// The newest that are wanted, the newest first.
    pub(super) fn find(&self, query: &Query) -> Vec<Summary> {
        let mut inner = self.lock();
        inner.shrink(&self.limits);
        let newest = inner.ages.iter().rev().filter_map(|(_, trace_id)| {
            let spans = inner.traces.get(trace_id).filter(|spans| query.finds(spans))?;
            Summary::of(trace_id, spans)
        });
        newest.take(query.limit()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, trace_id: String, span: Span) {
        self.bytes += span.bytes();
        let spans = self.traces.entry(trace_id.clone()).or_insert_with(|| {
            self.ages.push_back((Instant::now(), trace_id));
            Vec::new()
        });
        spans.push(span);
    }

    /// A single trace can go beyond the bytes: then it goes, too.
    fn shrink(&mut self, limits: &Limits) {
        while let Some((born, trace_id)) = self.ages.front() {
            let fits = self.traces.len() <= limits.traces && self.bytes <= limits.bytes;
            if fits && born.elapsed() <= limits.age {
                break;
            }
            let spans = self.traces.remove(trace_id).unwrap_or_default();
            self.bytes -= spans.iter().map(Span::bytes).sum::<usize>();
            self.ages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::Kind;
    use std::collections::BTreeMap;

    fn span(id: u64, start: u64) -> Span {
        Span {
            span_id: format!("{id:016x}"),
            parent_span_id: None,
            service: "order".into(),
            name: "x".into(),
            kind: Kind::Server,
            start_unix_ns: start,
            duration_ns: 1,
            failed: false,
            links: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }

    fn kept(limits: Limits, traces: u64) -> Kept {
        let kept = Kept::new(limits);
        kept.add((0..traces).map(|n| (format!("{n:032x}"), span(n, 0))));
        kept
    }

    #[test]
    fn spans_are_told_in_the_order_in_which_they_began() {
        let kept = Kept::new(Limits::default());
        kept.add([("a".to_owned(), span(1, 30)), ("a".to_owned(), span(2, 10))].into_iter());
        let starts = |trace: Trace| trace.spans.iter().map(|s| s.start_unix_ns).collect::<Vec<_>>();
        assert_eq!(kept.trace("a").map(starts), Some(vec![10, 30]));
        assert_eq!(kept.trace("b"), None);
    }

    #[test]
    fn the_trace_of_an_order_is_the_one_that_published_its_first_event() {
        let kept = Kept::new(Limits::default());
        let event = |kind, aggregate: &str| {
            let subject = ("cloudevents.event_subject".to_owned(), aggregate.to_owned());
            Span { kind, attributes: BTreeMap::from([subject]), ..span(1, 10) }
        };
        kept.add([("batch".to_owned(), event(Kind::Consumer, "018f-7"))].into_iter());
        kept.add([("checkout".to_owned(), event(Kind::Producer, "018f-7"))].into_iter());
        kept.add([("cancel".to_owned(), event(Kind::Producer, "018f-7"))].into_iter());
        assert_eq!(kept.trace_of("018f-7").unwrap().trace_id, "checkout");
        for other in ["018f", "018f-70", ""] {
            assert_eq!(kept.trace_of(other), None, "{other}");
        }
    }

    #[test]
    fn traces_are_found_by_what_is_in_them_the_newest_first() {
        let kept = kept(Limits::default(), 3);
        let late =
            Span { service: "payment".into(), duration_ns: 5_000_000, failed: true, ..span(9, 7) };
        kept.add([(format!("{:032x}", 1), late)].into_iter());
        let found = |query: Query| -> Vec<String> {
            let ends = |it: Summary| it.trace_id[31..].to_owned();
            kept.find(&query).into_iter().map(ends).collect()
        };
        assert_eq!(found(Query::default()), ["2", "1", "0"]);
        assert_eq!(found(Query { limit: Some(1), ..Query::default() }), ["2"]);
        for query in [
            Query { service: Some("payment".into()), ..Query::default() },
            Query { failed: true, ..Query::default() },
            Query { min_ms: 5, ..Query::default() },
        ] {
            assert_eq!(found(query.clone()), ["1"], "{query:?}");
        }
        assert!(found(Query { order: Some("018f-7".into()), ..Query::default() }).is_empty());
        let summary = kept.find(&Query { failed: true, ..Query::default() }).remove(0);
        assert_eq!(
            (summary.name.as_str(), summary.service.as_str(), summary.spans),
            ("x", "order", 2)
        );
        assert_eq!((summary.start_unix_ns, summary.duration_ns), (0, 5_000_007));
        assert_eq!(summary.services, ["order", "payment"]);
    }

    #[test]
    fn the_oldest_traces_go_first() {
        let kept = kept(Limits { traces: 3, ..Limits::default() }, 5);
        let there = |n: u64| kept.trace(&format!("{n:032x}")).is_some();
        assert_eq!((0..5).map(there).collect::<Vec<_>>(), [false, false, true, true, true]);
    }

    #[test]
    fn bytes_and_age_are_limits_too() {
        let bytes = 3 * span(0, 0).bytes();
        let by_bytes = kept(Limits { bytes, ..Limits::default() }, 100);
        assert_eq!(by_bytes.lock().traces.len(), 3);
        assert!(by_bytes.lock().bytes <= bytes);
        let by_age = kept(Limits { age: Duration::ZERO, ..Limits::default() }, 3);
        assert_eq!(by_age.trace(&format!("{:032x}", 2)), None);
        assert_eq!(by_age.lock().bytes, 0);
    }
}
