// The lines of all log files.

import { ask } from "./client.js";
import { field, h, keyed, row, say, select, show, table } from "./dom.js";
import { clock } from "./words.js";

const HEADS = ["Time", "Level", "Process", "Message", "Trace"];
const LEVELS = [["", "any"], ["ERROR", "error"], ["WARN", "warning or worse"], ["INFO", "information or worse"]];

/** Builds the section; `openTrace(path)` shows a trace. */
export function logs(panel, openTrace) {
  const process = select([["", "any"]], () => poll());
  const level = select(LEVELS, () => poll());
  const text = h("input", { type: "search", autocomplete: "off", spellcheck: "false", input: () => poll() });
  const follow = h("input", { type: "checkbox" });
  follow.checked = true;
  const trouble = h("p", { class: "notice bad", hidden: true });
  const none = h("p", { class: "none", hidden: true }, "No line is like that.");
  const list = table("The newest 300 lines, newest first", HEADS);
  const fields = [field("Process", process), field("Level", level), field("Text", text), field("Follow", follow)];
  panel.append(h("div", { class: "bar" }, fields), trouble, none, list.node);

  const make = (line) => {
    const made = row(HEADS);
    const rest = Object.entries(line.fields).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
    const texts = [clock(line.at_unix_us / 1000), line.level || "–", line.process];
    texts.forEach((word, at) => say(made.cells[at], word));
    made.cells[3].append(h("span", {}, line.message, h("span", { class: "fields" }, rest.length ? ` ${rest.join(" ")}` : "")));
    if (line.trace_id) {
      const open = () => openTrace(`/api/traces/${line.trace_id}`);
      const label = `Trace ${line.trace_id}`;
      made.cells[4].append(h("button", { type: "button", click: open, title: label, "aria-label": label }, "Trace"));
    }
    made.node.setAttribute("class", `level-${(line.level || "none").toLowerCase()}`);
    return made;
  };

  /** Lines that say the same at the same moment are told apart by their number. */
  function numbered(lines) {
    const seen = new Map();
    return lines.map((line) => {
      const words = `${line.at_unix_us} ${line.process} ${line.message} ${JSON.stringify(line.fields)}`;
      const number = (seen.get(words) || 0) + 1;
      seen.set(words, number);
      return { ...line, key: `${number} ${words}` };
    });
  }

  async function poll() {
    try {
      const answer = await ask("/api/logs", { process: process.value, level: level.value, q: text.value });
      show(trouble, false);
      show(none, answer.lines.length === 0);
      offer(answer.processes);
      keyed(list.body, numbered(answer.lines).reverse(), (line) => line.key, make);
    } catch (refusal) {
      say(trouble, `The logs are unknown: ${refusal.message}`);
      show(trouble, true);
    }
  }

  function offer(names) {
    const known = new Set([...process.options].map((option) => option.value));
    for (const name of names) if (!known.has(name)) process.append(h("option", { value: name }, name));
  }
  return { poll: () => (follow.checked ? poll() : undefined), first: poll };
}
