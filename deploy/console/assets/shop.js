// Processes and stores, and the faults that can happen to them.

import { post } from "./client.js";
import { byId, dress, h, keyed, row, say, show, table } from "./dom.js";
import { bytes, clock, count, duration, percent, plain, since } from "./words.js";

const HEADS = ["Process", "State", "PID", "CPU", "Memory", "Restarts", "Up", "Faults"];
const OF_A_PROCESS = ["kill", "pause", "stop", "restart"];
/** These last as long as is said. */
const LASTING = ["pause", "stop", "nats-rollback", "provider-errors"];
const OF_THE_SHOP = [
  ["redis-flush", "Redis flush", "Redis forgets everything."],
  ["nats-wipe", "NATS wipe", "NATS comes back with nothing of what it had."],
  ["nats-rollback", "NATS rollback", "NATS comes back with what it had so many seconds before."],
  ["provider-errors", "Provider errors", "The payment provider declines, hangs, or charges and loses the answer."],
];
const SECONDS_MAX = 60;

let seconds = 10;
const inputs = [];
const relabel = [];

function command(kind, target) {
  const lasts = LASTING.includes(kind) ? ` --for ${seconds}` : "";
  return `cargo souk fault ${kind}${target ? ` ${target}` : ""}${lasts}`;
}

/** An input for how long faults last; all of them show the same. */
function secondsInput() {
  const input = h("input", { type: "number", min: 1, max: SECONDS_MAX, step: 1, required: true });
  input.value = String(seconds);
  input.addEventListener("input", () => {
    if (!input.checkValidity()) return;
    seconds = Number(input.value);
    for (const other of inputs) if (other !== input) other.value = input.value;
    for (const change of relabel) change();
  });
  inputs.push(input);
  return h("label", { class: "field" }, h("span", {}, `Seconds that a fault lasts (1 to ${SECONDS_MAX})`), input);
}

/** A button that injects a fault; its command line is its title, and is shown while it has the focus or the pointer. */
function faultButton(kind, target, word) {
  const button = h("button", { type: "button" });
  const label = () => {
    say(button, LASTING.includes(kind) ? `${word} ${seconds} s` : word);
    button.title = command(kind, target);
    button.setAttribute("aria-label", `${button.textContent}${target ? ` ${target}` : ""}`);
  };
  const preview = () => say(byId("command"), command(kind, target));
  for (const event of ["focus", "pointerenter"]) button.addEventListener(event, preview);
  button.addEventListener("click", () => inject(button, kind, target));
  relabel.push(label);
  label();
  return button;
}

async function inject(button, kind, target) {
  button.setAttribute("aria-disabled", "true"); // not disabled: it would lose the focus
  const body = LASTING.includes(kind) ? { kind, target, seconds } : { kind, target };
  try {
    const begun = await post("/api/faults", body);
    say(byId("said"), `Begun: ${begun.command}`);
  } catch (refusal) {
    say(byId("said"), `Refused: ${command(kind, target)}: ${refusal.message}`);
  }
  button.removeAttribute("aria-disabled");
}

/** Builds the section of processes. */
export function shop(panel, charts) {
  const processes = table("Processes and stores", HEADS);
  const shown = h("code", { id: "command" }, command("kill", "order"));
  const line = h("p", { class: "command" }, "The same on the command line: ", shown);
  const tiles = h("dl", { class: "tiles" });
  panel.append(tiles, charts, h("div", { class: "bar" }, secondsInput(), line), processes.node);
  return { update: (overview) => update(overview, tiles, processes.body) };
}

function update(overview, tiles, body) {
  const rows = [...overview.processes, ...overview.stores];
  keyed(body, rows, (it) => it.name, makeRow, fillRow);
  const { orders } = overview;
  const figures = [
    ["Under way", count(orders.under_way)],
    ["Wait for stock", count(orders.placed)],
    ["Wait for payment", count(orders.stock_held)],
    ["Placed, last minute", count(orders.placed_last_minute)],
    ["Settled, last minute", count(orders.settled_last_minute)],
    ["Confirmed", count(orders.confirmed)],
    ["Cancelled", count(orders.cancelled)],
  ];
  if (orders.unknown) figures.push(["Orders", since(orders.unknown)]);
  const make = () => {
    const [name, value] = [h("dt"), h("dd")];
    return { node: h("div", {}, name, value), name, value };
  };
  keyed(tiles, figures, ([name]) => name, make, (tile, [name, value]) => {
    say(tile.name, name);
    say(tile.value, value);
  });
}

function makeRow({ name, state }) {
  const made = row(HEADS, "th");
  const badge = h("span", { class: "badge" });
  const why = h("span", { class: "why" });
  made.cells[1].append(h("span", {}, badge, why));
  const can = name !== "console" && state !== "not_ours";
  const words = ["Kill", "Pause", "Stop", "Restart"];
  const buttons = can ? OF_A_PROCESS.map((kind, at) => faultButton(kind, name, words[at])) : ["none"];
  made.cells[7].append(h("div", { class: "buttons" }, buttons));
  return { ...made, badge, why };
}

function fillRow(made, it) {
  const texts = [it.name, null, it.pid ?? "–", percent(it.cpu_percent), bytes(it.memory_bytes)];
  texts.push(it.restarts ?? "–", duration(it.up_ms));
  texts.forEach((text, at) => text !== null && say(made.cells[at], String(text)));
  made.node.title = it.address;
  say(made.badge, plain(it.state));
  dress(made.badge, `badge ${it.state.replace("_", "-")}`);
  say(made.why, it.reason ? ` ${it.reason}` : "");
}

/** Builds the section of faults. */
export function faults(panel) {
  const cards = h("ul", { class: "cards" });
  const unknown = h("p", { class: "notice bad", hidden: true });
  const heads = ["Fault", "State", "Began", "Lasted", "Command line"];
  const list = table("Faults under way and of the last ten minutes", heads);
  panel.append(h("div", { class: "bar" }, secondsInput()), cards, unknown, list.node);
  const makeLine = () => row(heads, "th");
  return {
    update(overview) {
      keyed(cards, offered(overview.stores), ({ kind, target }) => `${kind} ${target}`, card);
      show(unknown, overview.faults_unknown !== null);
      say(unknown, overview.faults_unknown ? `Faults are ${since(overview.faults_unknown)}` : "");
      const newest = [...overview.faults].reverse();
      keyed(list.body, newest, (it) => it.id, makeLine, ({ cells }, it) => {
        const until = it.ended_unix_ms ?? overview.now_unix_ms;
        const state = it.error ? `failed: ${it.error}` : it.ended_unix_ms === null ? "under way" : "over";
        const name = it.target ? `${it.kind} ${it.target}` : it.kind;
        const texts = [name, state, clock(it.began_unix_ms).slice(0, 8), duration(until - it.began_unix_ms), it.command];
        texts.forEach((text, at) => say(cells[at], text));
      });
    },
  };
}

/** What can happen to the shop as a whole, and to its stores. */
function offered(stores) {
  const whole = OF_THE_SHOP.map(([kind, word, about]) => ({ kind, word, about }));
  const ours = stores.filter((store) => store.state !== "not_ours");
  const each = ours.flatMap(({ name }) => [
    { kind: "stop", target: name, word: `Stop ${name}`, about: `${name} ends in order, stays away and is started again.` },
    { kind: "pause", target: name, word: `Pause ${name}`, about: `${name} stands still and goes on.` },
    { kind: "kill", target: name, word: `Kill ${name}`, about: `${name} dies at once and is started again.` },
  ]);
  return [...whole, ...each];
}

function card({ kind, target, word, about }) {
  const line = h("code", {}, command(kind, target));
  relabel.push(() => say(line, command(kind, target)));
  const button = faultButton(kind, target, word);
  button.setAttribute("aria-label", button.textContent);
  return { node: h("li", {}, button, h("p", {}, about), line) };
}
