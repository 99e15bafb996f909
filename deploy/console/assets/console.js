// The page: the token, the tabs, and one question a second while somebody looks.

import { ask, forgetToken, takeToken } from "./client.js";
import { charts } from "./charts.js";
import { byId, say, show } from "./dom.js";
import { caches, events } from "./events.js";
import { logs } from "./logs.js";
import { orders } from "./orders.js";
import { faults, shop } from "./shop.js";
import { traces } from "./traces.js";
import { showVerdict, titled } from "./verdict.js";
import { clock, since } from "./words.js";

const EVERY_MS = 1000;
/** Of a page that nobody sees the title is read. */
const HIDDEN_MS = 5000;
/** Orders and logs are asked for every other time. */
const SLOW = 2;
const NAMES = ["shop", "faults", "orders", "events", "caches", "logs", "traces"];

const panel = (name) => byId(`panel-${name}`);
const tab = (name) => byId(`tab-${name}`);

const drawing = charts();
const tracing = traces(panel("traces"));

/** Shows the trace at a path of the API. */
function openTrace(path) {
  choose("traces");
  tracing.open(path);
}

const sections = {
  shop: shop(panel("shop"), drawing.node),
  faults: faults(panel("faults")),
  orders: orders(panel("orders"), openTrace),
  events: events(panel("events")),
  caches: caches(panel("caches")),
  logs: logs(panel("logs"), openTrace),
  traces: tracing,
};

let chosen = "shop";
let latest = null;
let answered_ms = Date.now();
let failing_since_ms = null;
let beat = 0;
let pause = EVERY_MS;

/** Shows one section; the charts go with the shop and with the faults. */
function choose(name, focus = false) {
  chosen = name;
  for (const other of NAMES) {
    const is = other === name;
    tab(other).setAttribute("aria-selected", String(is));
    tab(other).tabIndex = is ? 0 : -1;
    show(panel(other), is);
  }
  if (name === "faults") panel("faults").prepend(drawing.node);
  if (name === "shop") panel("shop").insertBefore(drawing.node, panel("shop").children[1]);
  if (focus) tab(name).focus();
  if (latest) render(latest);
  const section = sections[name];
  if (section.first) section.first();
  else if (section.poll) section.poll();
}

function keys(event) {
  const at = NAMES.indexOf(chosen);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(NAMES[(to + NAMES.length) % NAMES.length], true);
}

function render(overview) {
  showVerdict(overview.verdict, Date.now() - answered_ms);
  titled(overview.verdict, Date.now() - answered_ms);
  showShop(overview);
  const section = sections[chosen];
  if (section.update) section.update(overview);
  if (drawing.node.isConnected && ["shop", "faults"].includes(chosen)) drawing.draw(overview);
}

/** A link to the shop, while it is up. */
function showShop({ unknown, shop_url }) {
  const link = byId("shop-link");
  say(byId("shop"), unknown ? `The shop is ${since(unknown)}` : "");
  show(link, shop_url !== null && shop_url.startsWith("http://"));
  if (shop_url !== null && link.getAttribute("href") !== shop_url) link.href = shop_url;
  say(link, shop_url === null ? "" : `The shop: ${shop_url}`);
}

async function poll() {
  pause = document.visibilityState === "visible" ? EVERY_MS : HIDDEN_MS;
  try {
    latest = await ask("/api/overview");
    answered_ms = Date.now();
    failing_since_ms = null;
    show(byId("away"), false);
    render(latest);
    beat += 1;
    if (beat % SLOW === 0 && sections[chosen].poll) sections[chosen].poll();
  } catch (refusal) {
    if (refusal.status === 401) return lock("The console has another token now.");
    failing_since_ms ??= Date.now();
    if (latest) showVerdict(latest.verdict, Date.now() - answered_ms);
    if (latest) titled(latest.verdict, Date.now() - answered_ms);
    say(byId("away"), `The console does not answer, since ${clock(failing_since_ms).slice(0, 8)}. What is shown is old.`);
    show(byId("away"), true);
  }
}

let locked = false;

/** Nothing can be asked without the token. */
function lock(why) {
  locked = true;
  forgetToken();
  show(byId("open"), false);
  show(byId("locked"), true);
  say(byId("locked-why"), why);
}

async function go_on() {
  while (!locked) {
    await poll();
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function begin() {
  if (!takeToken()) return lock("");
  locked = false;
  show(byId("locked"), false);
  show(byId("open"), true);
  choose(chosen);
  go_on();
}

for (const name of NAMES) {
  tab(name).addEventListener("click", () => choose(name));
  tab(name).addEventListener("keydown", keys);
}
document.addEventListener("visibilitychange", () => !locked && poll());
// The address with a new token, in a page that is open already, changes the fragment only.
window.addEventListener("hashchange", () => location.hash.startsWith("#token=") && location.reload());
begin();
