//! The layers together, with a writer and an exporter that keep what they get.

use std::io;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue};

use super::*;

/// Keeps what is written.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic while writing").clone()).expect("text")
    }

    fn json(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

fn options(log: &str, ratio: f64) -> Options {
    Options {
        log: log.to_owned(),
        log_format: LogFormat::Json,
        trace_ratio: ratio,
        otlp_endpoint: None,
        ..Options::default()
    }
}

/// Runs `body` under the layers of a process and returns its log.
fn logged(options: &Options, body: impl FnOnce()) -> Kept {
    let kept = Kept::default();
    let writer = kept.clone();
    let (subscriber, _provider) =
        subscriber("shop", options, move || writer.clone()).expect("valid options");
    tracing::subscriber::with_default(subscriber, body);
    kept
}

#[test]
fn a_line_is_one_flat_object_with_the_trace_of_its_span() {
    let mut traceparent = None;
    let kept = logged(&options("info", 0.0), || {
        let span = tracing::info_span!("checkout", order = 7);
        traceparent = context::of(&span);
        span.in_scope(|| {
            tracing::info!(lines = 3, ok = true, sku = "a\"b", ratio = f64::NAN, "placed\nnow")
        });
    });
    let traceparent = traceparent.expect("a span has a context");
    let line = &kept.json()[0];
    assert_eq!(kept.text().lines().count(), 1);
    assert_eq!(line["message"], "placed\nnow");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["service"], "shop");
    assert_eq!(line["target"], "telemetry::tests");
    assert_eq!(line["lines"], 3);
    assert_eq!(line["ok"], true);
    assert_eq!(line["sku"], "a\"b");
    assert_eq!(line["ratio"], "NaN");
    assert!(line["timestamp"].as_str().expect("text").ends_with('Z'));
    assert_eq!(line["trace_id"], traceparent[3..35]);
    assert_eq!(line["span_id"], traceparent[36..52]);
}

#[test]
fn a_field_cannot_pass_for_one_of_the_line() {
    let kept =
        logged(&options("info", 0.0), || tracing::info!(level = "forged", trace_id = 1, "hello"));
    let line = &kept.json()[0];
    assert_eq!(
        (&line["level"], &line["field_level"], &line["field_trace_id"]),
        (&"INFO".into(), &"forged".into(), &1.into())
    );
    assert!(line.get("trace_id").is_none());
}

#[test]
fn an_error_is_logged_with_its_sources() {
    let kept = logged(&options("info", 0.0), || {
        let error = anyhow::anyhow!("disk full").context("cannot store the order");
        tracing::error!(error = &*error as &dyn std::error::Error, "refused");
    });
    assert_eq!(kept.json()[0]["error"], "cannot store the order: disk full");
}

#[test]
fn pretty_lines_carry_the_trace_too() {
    let pretty = Options { log_format: LogFormat::Pretty, ..options("info", 0.0) };
    let mut trace = None;
    let kept = logged(&pretty, || {
        let span = tracing::info_span!("checkout");
        trace = context::trace_id(&span);
        span.in_scope(|| tracing::warn!(sku = "abc", "out of stock"));
    });
    let text = kept.text();
    assert!(text.contains("WARN out of stock sku=\"abc\""), "{text}");
    assert!(text.contains(&format!("trace_id={}", trace.expect("a trace"))), "{text}");
}

#[test]
fn what_a_customer_wrote_cannot_repaint_the_terminal() {
    let pretty = Options { log_format: LogFormat::Pretty, ..options("info", 0.0) };
    let kept = logged(
        &pretty,
        || tracing::info!(name = %"\x1b[2Jgone\nERROR forged", "sent {}", "\x1b]0;title\x07"),
    );
    let text = kept.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
}

#[test]
fn a_quiet_log_does_not_cut_traces() {
    let kept = logged(&options("error", 0.0), || {
        let _entered = tracing::info_span!("checkout").entered();
        assert!(context::current().is_some());
        tracing::warn!("not worth a line");
    });
    assert_eq!(kept.text(), "");
}

#[test]
fn a_loud_log_does_not_put_the_spans_of_libraries_between_ours() {
    let kept = logged(&options("debug,telemetry=trace", 0.0), || {
        let _ours = tracing::info_span!("checkout").entered();
        let ours = context::current();
        let _library = tracing::debug_span!("poll").entered();
        assert_eq!(context::current(), ours);
        tracing::trace!("frame");
    });
    assert_eq!(kept.json()[0]["message"], "frame");
    assert!(kept.json()[0]["trace_id"].is_string());
}

#[test]
fn debug_means_ours_unless_a_library_is_named() {
    let kept = logged(&options("debug", 0.0), || {
        tracing::debug!(target: "h2::codec", "frame");
        tracing::debug!(target: "order::app", "decided");
    });
    assert_eq!(kept.text().lines().count(), 1, "{}", kept.text());
    let kept =
        logged(&options("debug,h2=debug", 0.0), || tracing::debug!(target: "h2::codec", "frame"));
    assert_eq!(kept.text().lines().count(), 1, "{}", kept.text());
}

#[test]
fn a_trace_goes_on_in_the_next_process() {
    let ratio_of_none = options("info", 0.0);
    let mut sent = String::new();
    logged(&options("info", 1.0), || {
        let _gateway = tracing::info_span!("POST /v1/orders").entered();
        sent = context::current().expect("a trace");
    });
    logged(&ratio_of_none, || {
        let span = tracing::info_span!("PlaceOrder");
        context::continue_from(&span, &sent);
        let own = context::of(&span).expect("a trace");
        assert_eq!(own[..35], sent[..35], "the trace is the same");
        assert_ne!(own[36..52], sent[36..52], "the span is another");
        assert!(
            own.ends_with("-01") && context::is_recorded(&span),
            "recorded because the caller is: {own}"
        );
        let child = span.in_scope(|| tracing::info_span!("insert"));
        assert_eq!(context::trace_id(&child), context::trace_id(&span));
    });
}

#[test]
fn what_a_caller_says_in_tracestate_is_passed_on() {
    let onward = |state: &str| {
        let mut received = HeaderMap::new();
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        received.insert("traceparent", HeaderValue::from_static(traceparent));
        received.insert("tracestate", HeaderValue::try_from(state).expect("text"));
        let mut sent = HeaderMap::new();
        logged(&options("info", 0.0), || {
            let span = tracing::info_span!("PlaceOrder");
            context::continue_from_headers(&span, &received);
            let call = span.in_scope(|| tracing::info_span!("GetCart"));
            context::inject(&call, &mut sent);
        });
        assert_eq!(sent["traceparent"].as_bytes()[..35], traceparent.as_bytes()[..35]);
        sent.get("tracestate").map(|it| it.to_str().expect("text").to_owned())
    };
    assert_eq!(
        onward("rojo=00f067aa0ba902b7,congo=t61").as_deref(),
        Some("rojo=00f067aa0ba902b7,congo=t61")
    );
    assert_eq!(
        onward(&format!("a={}", "x".repeat(511))),
        None,
        "longer than anybody has to pass on"
    );
    for bad in ["", "nonsense", "a=b=c,,=", "A=upper"] {
        assert_eq!(onward(bad), None, "{bad}");
    }
}

#[test]
fn the_callers_no_is_a_no() {
    logged(&options("info", 1.0), || {
        let span = tracing::info_span!("PlaceOrder");
        context::continue_from(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
        let own = context::of(&span).expect("a trace");
        assert!(
            own.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && own.ends_with("-00"),
            "{own}"
        );
    });
}

#[test]
fn without_a_caller_the_ratio_decides() {
    for (ratio, recorded) in [(0.0, false), (1.0, true)] {
        logged(&options("info", ratio), || {
            let span = tracing::info_span!("GET /v1/products");
            context::continue_from(&span, "not a traceparent");
            assert_eq!(context::is_recorded(&span), recorded);
        });
    }
}

#[test]
fn a_batch_is_recorded_if_one_of_its_messages_is() {
    let (yes, no) = (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
    );
    logged(&options("info", 0.0), || {
        let batch = |messages: &[&str]| {
            let span = tracing::info_span!("batch");
            messages.iter().for_each(|message| context::link(&span, message));
            context::is_recorded(&span)
        };
        assert!(batch(&[no, yes]));
        assert!(!batch(&[no, no]));
        assert!(!batch(&[]));
    });
}

#[test]
fn outside_of_telemetry_nothing_is_known() {
    let span = tracing::info_span!("nobody listens");
    context::continue_from(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!((context::of(&span), context::trace_id(&span)), (None, None));
}

#[test]
fn bad_options_are_refused_by_name() {
    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }
    let refused = |args: [&str; 2]| {
        let parsed = <Cli as clap::Parser>::try_parse_from([&["shop"], &args[..]].concat());
        parsed.expect_err("refused").to_string()
    };
    assert!(refused(["--log", "info,=,=x"]).contains("--log"));
    assert!(refused(["--trace-ratio", "1.5"]).contains("must be from 0 to 1"));
    assert!(refused(["--trace-ratio", "much"]).contains("not a number"));
    assert!(
        refused(["--otlp-endpoint", "https://collector:4317"]).contains("must begin with http://")
    );
    assert!(refused(["--otlp-endpoint", "http://collector"]).contains("must name a port"));
    let empty = <Cli as clap::Parser>::try_parse_from(["shop", "--otlp-endpoint", ""])
        .expect("as if unset");
    assert_eq!(empty.options.collector(), None);
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_counts_itself() {
    let text = render_metrics();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
        line.rsplit(' ').next().expect("a value").parse().expect("a number")
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
}

#[test]
fn the_whole_catalogue_can_be_registered() {
    catalogue::register_all(); // or panic: a name twice, a label that is none
    assert!(catalogue::ALL.iter().all(|about| !about.help().is_empty() && !about.unit.is_empty()));
    let text = render_metrics();
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let known = |about: &&metrics::About| {
            family == format!("{} {}", about.prometheus_name(), about.kind)
        };
        let of_a_test = family.starts_with("souk_test_");
        assert!(of_a_test || catalogue::ALL.iter().any(known), "{family}");
    }
}
