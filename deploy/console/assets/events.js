// Events that wait, dead letters, and caches.

import { h, keyed, row, say, table } from "./dom.js";
import { bytes, count, percent } from "./words.js";

function list(panel, caption, heads, keyOf, textsOf) {
  const made = table(caption, heads);
  const none = h("p", { class: "none" }, "Nothing is known.");
  panel.append(made.node, none);
  return (items) => {
    none.hidden = items.length > 0;
    keyed(made.body, items, keyOf, () => row(heads, "th"), ({ node, cells }, item) => {
      const { texts, bad } = textsOf(item);
      texts.forEach((text, at) => say(cells[at], text));
      node.classList.toggle("bad-row", bad);
    });
  };
}

/** Builds the section of events. */
export function events(panel) {
  const outbox = list(panel, "Outboxes: events that are written and not published", ["Context", "Database", "Events", "Oldest"],
    (it) => `${it.context} ${it.database}`,
    (it) => ({ texts: [it.context, it.database, count(it.depth), `${it.oldest_seconds.toFixed(1)} s`], bad: it.depth > 0 }));
  const lag = list(panel, "Consumer lag: events that are published and not taken in", ["Consumer", "Lag"],
    (it) => it.consumer,
    (it) => ({ texts: [it.consumer, count(it.lag)], bad: it.lag > 0 }));
  const dead = list(panel, "Dead letters: events that were given up on", ["Context", "Database", "Dead letters"],
    (it) => `${it.context} ${it.database}`,
    (it) => ({ texts: [it.context, it.database, count(it.dead_letters)], bad: it.dead_letters > 0 }));
  return {
    update({ events: now }) {
      outbox(now.outbox);
      lag(now.consumers);
      dead(now.dead_letters);
    },
  };
}

/** Builds the section of caches. */
export function caches(panel) {
  const heads = ["Service", "Cache", "Hit ratio", "Hits", "Misses", "Size"];
  const fill = list(panel, "Caches, since their processes were started", heads,
    (it) => `${it.service} ${it.cache}`,
    (it) => ({
      texts: [it.service, it.cache, percent(it.hit_ratio === null ? null : it.hit_ratio * 100), count(it.hits), count(it.misses), bytes(it.size_bytes)],
      bad: false,
    }));
  return { update: (overview) => fill(overview.caches) };
}
