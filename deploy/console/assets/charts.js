// The last five minutes: orders placed and settled in a second, orders under way, the verdict; faults are bands on all of them.

import { h, s } from "./dom.js";
import { count, plain } from "./words.js";

const SPAN_MS = 300000;
const HEIGHT = 96;
const TOP = 16;
const BOTTOM = 14;
/** A gap between two points that is longer is a gap in the line. */
const GAP_MS = 7000;

/** The charts, to be put into a section; `draw(overview)` draws them. */
export function charts() {
  const rates = chart("Orders in a second", [["placed", "placed_per_second"], ["settled", "settled_per_second"]]);
  const open = chart("Orders under way", [["under way", "under_way"]]);
  const strip = verdicts();
  const node = h("section", { class: "charts", "aria-label": "Charts of the last five minutes" }, rates.node, open.node, strip.node);
  return {
    node,
    draw(overview) {
      for (const part of [rates, open, strip]) part.draw(overview);
    },
  };
}

function chart(title, lines) {
  const [legend, box, words] = [h("p", { class: "legend" }), h("div", { class: "plot" }), h("figcaption", {}, title)];
  const node = h("figure", {}, words, legend, box);
  return { node, draw: (overview) => draw(overview, title, lines, legend, box) };
}

function draw(overview, title, lines, legend, box) {
  const frame = frameOf(overview, box);
  const points = overview.series.filter((point) => point.at_unix_ms >= frame.from);
  const values = points.flatMap(
    (point) => lines.map(([, name]) => point[name])).filter((value) => value !== null);
  const top = nice(Math.max(1, ...values));
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const last = points.at(-1) || {};
  const texts = lines.map(([word, name]) => `${word} ${figure(last[name])}`);
  legend.replaceChildren(...texts.map((text, at) => h("span", { class: `key line-${at}` }, text)));
  const drawn = lines.flatMap(([, name], at) => paths(points, name, frame.x, y, at));
  const picture = svg(frame, `${title}: ${texts.join(", ")}`, [
    ...bands(overview.faults, frame, HEIGHT - BOTTOM),
    s("line", { class: "axis", x1: 0, x2: frame.width, y1: y(0), y2: y(0) }),
    s("text", { class: "scale", x: 2, y: TOP - 4 }, count(top)),
    ...drawn,
  ], HEIGHT);
  box.replaceChildren(picture);
}

/** Where times are: a chart is as wide as its box. */
function frameOf(overview, box) {
  const width = Math.max(200, box.clientWidth || 600);
  const [to, from] = [overview.now_unix_ms, overview.now_unix_ms - SPAN_MS];
  return { width, from, to, x: (at) => ((Math.max(at, from) - from) / SPAN_MS) * width };
}

function svg(frame, label, children, height) {
  const { width } = frame;
  const times = [["5 min ago", 2, "start"], ["now", width - 2, "end"]].map(([text, x, anchor]) =>
    s("text", { class: "scale", x, y: height - 2, "text-anchor": anchor }, text));
  const view = { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label };
  return s("svg", view, children, times);
}

/** One line for each stretch in which the values are known. */
function paths(points, name, x, y, at) {
  const stretches = [];
  let before = null;
  for (const point of points) {
    const known = point[name] !== null;
    const goes_on = known && before !== null && point.at_unix_ms - before < GAP_MS;
    if (known && !goes_on) stretches.push([]);
    if (known) stretches.at(-1).push(`${x(point.at_unix_ms).toFixed(1)},${y(point[name]).toFixed(1)}`);
    before = known ? point.at_unix_ms : null;
  }
  return stretches.map((stretch) => s("polyline", { class: `line line-${at}`, points: stretch.join(" ") }));
}

/** Faults of the time that is shown. A short one is as wide as can be seen. */
function bands(faults, frame, bottom) {
  return faults.filter((fault) => (fault.ended_unix_ms ?? frame.to) >= frame.from).flatMap((fault, at) => {
    const begin = frame.x(fault.began_unix_ms);
    const width = Math.max(3, frame.x(fault.ended_unix_ms ?? frame.to) - begin);
    const text = fault.target ? `${fault.kind} ${fault.target}` : fault.kind;
    const end = begin > frame.width * 0.7;
    const place = { x: end ? begin - 2 : begin + 2, y: 11 + (at % 3) * 12, "text-anchor": end ? "end" : "start" };
    return [
      s("rect", { class: "band", x: begin, y: 0, width, height: bottom }, s("title", {}, text)),
      s("text", { class: "band-text", ...place }, text),
    ];
  });
}

/** The verdict of each step, as a strip of colours with an initial for each stretch. */
function verdicts() {
  const box = h("div", { class: "plot" });
  const node = h("figure", {}, h("figcaption", {}, "Verdict"), box);
  const height = 34;
  const draw = (overview) => {
    const frame = frameOf(overview, box);
    const stretches = [];
    for (const point of overview.series.filter((it) => it.at_unix_ms >= frame.from)) {
      const last = stretches.at(-1);
      const goes_on = last && last.verdict === point.verdict && point.at_unix_ms - last.to < GAP_MS;
      if (goes_on) last.to = point.at_unix_ms;
      else stretches.push({ verdict: point.verdict, from: point.at_unix_ms - 2000, to: point.at_unix_ms });
    }
    const parts = stretches.flatMap(({ verdict, from, to }) => {
      const [x, width] = [frame.x(from), Math.max(2, frame.x(to) - frame.x(from))];
      const word = width > 60 ? plain(verdict) : "";
      return [
        s("rect", { class: `strip ${verdict.replace("_", "-")}`, x, y: 0, width, height: 20 }, s("title", {}, plain(verdict))),
        s("text", { class: "strip-text", x: x + 4, y: 14 }, word),
      ];
    });
    const now = stretches.at(-1);
    box.replaceChildren(svg(frame, `Verdict: now ${now ? plain(now.verdict) : "unknown"}`, parts, height));
  };
  return { node, draw };
}

/** 1, 2 or 5 times a power of ten that is not less. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function figure(value) {
  if (value === null || value === undefined) return "unknown";
  return Number.isInteger(value) ? count(value) : value.toFixed(1);
}
