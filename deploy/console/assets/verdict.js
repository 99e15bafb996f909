// The bar on top of every section.

import { byId, dress, h, keyed, say, show } from "./dom.js";
import { duration, plain, several, since } from "./words.js";

/** A console that has not answered for so long says nothing about now. */
const AWAY_MS_MAX = 10000;

/** What the bar says, and how it looks. */
function headline(verdict) {
  const { state, checks, checks_all, checks_unseen } = verdict;
  const broken = checks.filter((check) => check.broken);
  if (state === "unknown") return ["unknown", "Unknown: there is no verdict"];
  if (state === "kept") {
    const unseen = checks_unseen === 0 ? "" : `, ${checks_unseen} had nothing to look at`;
    return ["kept", `Kept: ${several(checks_all - checks_unseen, "check")} clean${unseen}`];
  }
  if (state === "broken") return ["broken", `Broken: ${broken.map((check) => check.name).join(", ")}`];
  if (checks.length === 0) return ["at-work", "At work: something is under way, and not all records can be read"];
  return ["at-work", `At work: ${several(checks.length, "check")} of ${checks_all} not clean yet`];
}

/** Shows a verdict; `away_ms` is how long the console has not answered. */
export function showVerdict(verdict, away_ms = 0) {
  const [look, text] = headline(verdict);
  const age = verdict.age_ms === null ? null : verdict.age_ms + away_ms;
  const old = age !== null && (age > verdict.stale_after_ms || away_ms > AWAY_MS_MAX);
  dress(byId("verdict"), `verdict ${old ? "unknown" : look}`);
  say(byId("verdict-word"), old && look !== "unknown" ? `Old verdict. ${text}` : text);
  say(byId("verdict-age"), told(verdict, age));
  const why = byId("verdict-why");
  show(why, verdict.unknown !== null);
  say(why, verdict.unknown ? since(verdict.unknown) : "");
  showChecks(verdict.checks);
}

function told(verdict, age) {
  if (age === null) return "not looked yet";
  const orders = verdict.orders === null ? "" : ` at ${several(verdict.orders, "order")}`;
  return `looked${orders} ${duration(age)} ago, in ${duration(verdict.looked_ms)}`;
}

function showChecks(checks) {
  const more = byId("verdict-more");
  show(more, checks.length > 0);
  if (checks.some((check) => check.broken) && !more.dataset.opened) {
    more.dataset.opened = "once"; // whoever closes it again has seen it
    more.open = true;
  }
  const make = () => {
    const [head, examples] = [h("strong"), h("ul")];
    return { node: h("li", {}, head, examples), head, examples };
  };
  keyed(byId("verdict-checks"), checks, (check) => check.name, make, (row, check) => {
    const word = check.broken ? "broken" : "not clean yet";
    const looked = `${check.defects} of ${check.looked_at}`;
    say(row.head, `${check.name} (${check.promise}): ${word}, ${looked}`);
    keyed(row.examples, check.examples, (example) => example, (example) => ({ node: h("li", {}, example) }));
  });
}

/** The title of the browser's tab says it, too; `away_ms` as above. */
export function titled(verdict, away_ms = 0) {
  const old = verdict.age_ms !== null && verdict.age_ms + away_ms > verdict.stale_after_ms;
  document.title = `${plain(old ? "unknown" : verdict.state)} – Souk console`;
}
