// Traces: a search, and one of them as a waterfall.

import { ask } from "./client.js";
import { field, h, keyed, row, say, select, show, table } from "./dom.js";
import { clock, fine, several } from "./words.js";

const HEADS = ["Began", "Name", "Services", "Took", "Spans", "State", "Show"];
const SERVICES = ["gateway", "product", "user", "cart", "order", "payment", "provisioner"];
const COLOURS = 8;
/** A browser that draws more does little else. */
const SPANS_MAX = 500;

/** Always the same colour for the same service. */
function colour(service) {
  const known = SERVICES.indexOf(service);
  return `service-${known < 0 ? COLOURS - 1 : known % COLOURS}`;
}

/** Builds the section. */
export function traces(panel) {
  const order = h("input", { type: "text", autocomplete: "off", spellcheck: "false", class: "id" });
  const service = select([["", "any"], ...SERVICES.map((name) => [name, name])]);
  const least = h("input", { type: "number", min: 0, step: 1 });
  const failed = h("input", { type: "checkbox" });
  const fields = [field("Order id", order), field("Service", service), field("At least, in ms", least), field("Failed only", failed)];
  const submit = (event) => {
    event.preventDefault();
    search();
  };
  const form = h("form", { class: "bar", submit }, fields, h("button", { type: "submit" }, "Search"));
  const trouble = h("p", { class: "notice bad", hidden: true });
  const none = h("p", { class: "none", hidden: true }, "No trace is like that. The newest are kept, for ten minutes.");
  const list = table("Traces, newest first", HEADS);
  const one = h("section", { class: "trace", tabindex: -1, "aria-label": "One trace", hidden: true });
  panel.append(form, trouble, one, none, list.node);

  function failedTo(what, refusal) {
    say(trouble, `${what}: ${refusal.message}`);
    show(trouble, true);
  }

  async function search() {
    const wanted = { order: order.value.trim(), service: service.value, min_ms: least.value, limit: 50 };
    if (failed.checked) wanted.failed = "true";
    try {
      const summaries = await ask("/api/traces", wanted);
      show(trouble, false);
      show(none, summaries.length === 0);
      keyed(list.body, summaries, (it) => it.trace_id, makeSummary, fillSummary);
    } catch (refusal) {
      failedTo("The traces are unknown", refusal);
    }
  }

  const makeSummary = ({ trace_id }) => {
    const made = row(HEADS);
    const shown = () => open(`/api/traces/${trace_id}`);
    const services = h("span");
    made.cells[2].append(services);
    made.cells[6].append(h("button", { type: "button", click: shown, "aria-label": `Show trace ${trace_id}` }, "Show"));
    return { ...made, services };
  };
  const fillSummary = ({ cells, services }, it) => {
    const began = clock(it.start_unix_ns / 1e6);
    say(cells[0], began);
    say(cells[1], it.name);
    if (services.childElementCount !== it.services.length) services.replaceChildren(...it.services.map(chip));
    [fine(it.duration_ns), String(it.spans), it.failed ? "failed" : "good"].forEach((text, at) => say(cells[at + 3], text));
  };

  async function open(path) {
    try {
      const trace = await ask(path);
      show(trouble, false);
      one.replaceChildren(...waterfall(trace, open));
      show(one, true);
      one.focus();
    } catch (refusal) {
      failedTo("There is no such trace", refusal);
    }
  }
  return { first: search, open };
}

function chip(service) {
  return h("span", { class: `chip ${colour(service)}` }, service);
}

function waterfall(trace, open) {
  const spans = nested(trace.spans);
  const begin = Math.min(...trace.spans.map((span) => span.start_unix_ns));
  const end = Math.max(...trace.spans.map((span) => span.start_unix_ns + span.duration_ns));
  const whole = Math.max(1, end - begin);
  const services = [...new Set(trace.spans.map((span) => span.service))];
  const shown = spans.slice(0, SPANS_MAX).map(({ span, depth }) => bar(span, depth, begin, whole, open));
  const more = spans.length > SPANS_MAX ? [h("p", {}, `${several(spans.length - SPANS_MAX, "span")} more are not shown.`)] : [];
  return [
    h("h2", {}, "Trace ", h("code", {}, trace.trace_id)),
    h("p", {}, `${several(spans.length, "span")}, ${fine(whole)} from the first to the last. `, services.map(chip)),
    h("p", { class: "none" }, "An arrow is an event on the bus: → published, ← taken in."),
    h("ol", { class: "waterfall" }, shown),
    ...more,
  ];
}

/** Depth first, children in the order in which they began. A span whose parent was not received is a beginning. */
function nested(spans) {
  const ids = new Set(spans.map((span) => span.span_id));
  const children = new Map();
  for (const span of [...spans].sort((one, other) => one.start_unix_ns - other.start_unix_ns)) {
    const parent = ids.has(span.parent_span_id) && span.parent_span_id !== span.span_id ? span.parent_span_id : null;
    children.set(parent, [...(children.get(parent) || []), span]);
  }
  const [told, stack] = [[], (children.get(null) || []).map((span) => ({ span, depth: 0 })).reverse()];
  while (stack.length > 0) {
    const next = stack.pop();
    told.push(next);
    const inner = (children.get(next.span.span_id) || []).map((span) => ({ span, depth: next.depth + 1 }));
    stack.push(...inner.reverse());
  }
  return told;
}

function bar(span, depth, begin, whole, open) {
  const hop = { producer: "→ ", consumer: "← " }[span.kind] || "";
  const drawn = h("span", { class: `span ${colour(span.service)}${span.failed ? " failed" : ""}` });
  drawn.style.setProperty("--from", `${((span.start_unix_ns - begin) / whole) * 100}%`);
  drawn.style.setProperty("--long", `${(span.duration_ns / whole) * 100}%`);
  const name = h("span", { class: "span-name" }, hop, h("b", {}, span.service), ` ${span.name}`);
  name.style.setProperty("--depth", String(Math.min(depth, 12)));
  const attributes = Object.entries(span.attributes).map(([key, value]) => h("li", {}, `${key}: ${value}`));
  const links = span.links.map((link) => {
    const go = () => open(`/api/traces/${link.trace_id}`);
    return h("li", {}, h("button", { type: "button", click: go }, `Linked trace ${link.trace_id.slice(0, 8)}…`));
  });
  const took = `${span.failed ? "failed, " : ""}${fine(span.duration_ns)}, after ${fine(span.start_unix_ns - begin)}`;
  const summary = h("summary", {}, name, h("span", { class: "track" }, drawn), h("span", { class: "took" }, took));
  return h("li", {}, h("details", {}, summary, h("ul", {}, h("li", {}, `kind: ${span.kind}`), attributes, links)));
}
