//! A trace as a tree, drawn from the spans that were received and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use souk::style::{bold, dim, red, yellow};

use crate::traces::{Kind, Span, Trace};

/// The column in which durations begin.
const NAME_WIDTH: usize = 74;

/// What a trace should have and has not: services without a span, and the way across NATS.
pub fn missing(trace: &Trace, services: &[&str]) -> Vec<String> {
    let seen: BTreeSet<&str> = trace.spans.iter().map(|span| span.service.as_str()).collect();
    let absent = services.iter().filter(|service| !seen.contains(*service));
    let mut missing: Vec<String> = absent.map(|service| format!("spans of {service}")).collect();
    if !crosses_the_bus(trace) {
        missing.push("a span that goes on after NATS".to_owned());
    }
    missing
}

/// Whether a message was taken in, in a service other than the one that caused it, as a part of
/// this trace.
fn crosses_the_bus(trace: &Trace) -> bool {
    let by_id: HashMap<&str, &Span> =
        trace.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let causes = |span: &&Span| {
        let parent = span.parent_span_id.as_deref().and_then(|id| by_id.get(id));
        let links = span.links.iter().filter_map(|link| by_id.get(link.span_id.as_str()));
        parent.into_iter().chain(links).any(|cause| cause.service != span.service)
    };
    trace.spans.iter().filter(|span| span.kind == Kind::Consumer).any(|span| causes(&span))
}

/// The lines. Times are since the beginning of the first span.
pub fn draw(trace: &Trace) -> Vec<String> {
    let Some(zero) = trace.spans.iter().map(|span| span.start_unix_ns).min() else {
        return vec!["no span was received".to_owned()];
    };
    let ids: BTreeSet<&str> = trace.spans.iter().map(|span| span.span_id.as_str()).collect();
    let mut children: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    let mut roots = Vec::new();
    for span in &trace.spans {
        match span.parent_span_id.as_deref().filter(|parent| ids.contains(parent)) {
            Some(parent) => children.entry(parent).or_default().push(span),
            None => roots.push(span),
        }
    }
    let mut drawing = Drawing { zero, children, lines: Vec::new() };
    for root in roots {
        drawing.span(root, "", "");
    }
    drawing.lines
}

struct Drawing<'a> {
    zero: u64,
    children: BTreeMap<&'a str, Vec<&'a Span>>,
    lines: Vec<String>,
}

impl Drawing<'_> {
    fn span(&mut self, span: &Span, branch: &str, below: &str) {
        self.lines.push(line(span, branch, self.zero));
        // Taken out, so that even a trace whose spans name each other as parents ends.
        let mut children = self.children.remove(span.span_id.as_str()).unwrap_or_default();
        children.sort_by_key(|child| child.start_unix_ns);
        let last = children.len().saturating_sub(1);
        for (at, child) in children.into_iter().enumerate() {
            let (branch, indent) =
                if at == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.span(child, &format!("{below}{branch}"), &format!("{below}{indent}"));
        }
    }
}

fn line(span: &Span, branch: &str, zero: u64) -> String {
    let arrow = if span.kind == Kind::Consumer { "⇢ " } else { "" };
    let name = short(&span.name);
    let length = [branch, arrow, &span.service, &name].into_iter().map(|part| part.chars().count());
    let gap = NAME_WIDTH.saturating_sub(length.sum::<usize>() + 1).max(1);
    let began = ms(span.start_unix_ns.saturating_sub(zero));
    let mut line = format!(
        "{}{}{} {name}{}{:>8} ms {}",
        dim(branch),
        yellow(arrow),
        bold(&span.service),
        " ".repeat(gap),
        ms(span.duration_ns),
        dim(&format!("at {began}"))
    );
    if span.failed {
        line.push_str(&red(" failed"));
    }
    line
}

/// `/souk.order.v1.OrderService/PlaceOrder` says nothing that `OrderService/PlaceOrder` does not.
fn short(name: &str) -> String {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let package = bare.strip_prefix("souk.").and_then(|rest| rest.split_once(".v1."));
    package.map_or(bare, |(_, rest)| rest).to_owned()
}

fn ms(nanoseconds: u64) -> String {
    let micros = nanoseconds / 1_000;
    format!("{}.{}", micros / 1_000, micros % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::bare;

    fn span(id: &str, parent: &str, service: &str, kind: Kind, start_ms: u64) -> Span {
        Span {
            span_id: id.into(),
            parent_span_id: Some(parent.to_owned()).filter(|parent| !parent.is_empty()),
            service: service.into(),
            name: format!("/souk.{service}.v1.Service/{id}"),
            kind,
            start_unix_ns: 5_000_000_000 + start_ms * 1_000_000,
            duration_ns: 2_340_000,
            failed: false,
            links: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }

    fn trace() -> Trace {
        let spans = vec![
            span("root", "client", "gateway", Kind::Server, 0),
            span("place", "root", "order", Kind::Server, 1),
            span("cart", "place", "cart", Kind::Server, 2),
            span("event", "place", "product", Kind::Consumer, 20),
            span("late", "gone", "payment", Kind::Internal, 40),
        ];
        Trace { trace_id: "t".into(), spans }
    }

    #[test]
    fn children_stand_under_their_parents_in_the_order_of_time() {
        let lines: Vec<String> = draw(&trace()).iter().map(|line| bare(line)).collect();
        let starts: Vec<String> = lines
            .iter()
            .map(|line| line.split("  ").next().unwrap_or_default().trim_end().to_owned())
            .collect();
        assert!(lines[0].starts_with("gateway Service/root"), "{lines:?}");
        assert!(lines[1].starts_with("└─ order Service/place"), "{starts:?}");
        assert!(lines[2].starts_with("   ├─ cart Service/cart"));
        assert!(lines[3].starts_with("   └─ ⇢ product Service/event"));
        assert!(lines[4].starts_with("payment Service/late"), "its parent was not received");
        assert!(lines[3].ends_with("2.3 ms at 20.0"), "{}", lines[3]);
    }

    #[test]
    fn a_service_without_a_span_is_missed() {
        let all = ["gateway", "order", "cart", "product", "payment"];
        assert!(missing(&trace(), &all).is_empty());
        for service in all {
            let mut trace = trace();
            trace.spans.retain(|span| span.service != service);
            let missing = missing(&trace, &all);
            assert!(missing.contains(&format!("spans of {service}")), "{missing:?}");
        }
    }

    #[test]
    fn the_way_across_the_bus_is_missed() {
        let mut no_consumer = trace();
        no_consumer.spans.retain(|span| span.kind != Kind::Consumer);
        let mut same_service = trace();
        same_service.spans[3].service = "order".into();
        let mut unconnected = trace();
        unconnected.spans[3].parent_span_id = Some("elsewhere".into());
        for trace in [no_consumer, same_service, unconnected] {
            assert_eq!(missing(&trace, &[]), ["a span that goes on after NATS"]);
        }
    }

    #[test]
    fn a_link_is_a_way_across_the_bus_too() {
        let mut trace = trace();
        trace.spans[3].parent_span_id = None;
        let link = crate::traces::Link { trace_id: "t".into(), span_id: "place".into() };
        trace.spans[3].links = vec![link];
        assert!(missing(&trace, &[]).is_empty());
    }

    #[test]
    fn spans_that_name_each_other_as_parents_do_not_hang_the_drawing() {
        let spans = vec![
            span("a", "b", "order", Kind::Server, 0),
            span("b", "a", "order", Kind::Server, 1),
            span("root", "", "gateway", Kind::Server, 2),
        ];
        assert_eq!(draw(&Trace { trace_id: "t".into(), spans }).len(), 1);
        assert_eq!(draw(&Trace { trace_id: "t".into(), spans: Vec::new() }).len(), 1);
    }
}
