// The newest orders, live.

import { ask } from "./client.js";
import { dress, field, h, keyed, row, say, select, show, table } from "./dom.js";
import { duration, money, plain } from "./words.js";

const HEADS = ["Order", "State", "Reason", "Total", "Age", "Stock held after", "Ended after", "Trace"];
const STATES = [["", "any"], ["placed", "placed"], ["stock_held", "stock held"], ["confirmed", "confirmed"], ["cancelled", "cancelled"]];

/** Builds the section; `openTrace(path)` shows a trace. */
export function orders(panel, openTrace) {
  const state = select(STATES, () => poll());
  const trouble = h("p", { class: "notice bad", hidden: true });
  const none = h("p", { class: "none", hidden: true }, "There is no such order.");
  const list = table("The newest 50 orders", HEADS);
  panel.append(h("div", { class: "bar" }, field("State", state)), trouble, none, list.node);

  const make = ({ order_id }) => {
    const made = row(HEADS, "th");
    const badge = h("span", { class: "badge" });
    made.cells[0].append(h("code", {}, order_id));
    made.cells[1].append(badge);
    const open = () => openTrace(`/api/orders/${order_id}/trace`);
    made.cells[7].append(h("button", { type: "button", click: open, "aria-label": `Trace of order ${order_id}` }, "Trace"));
    return { ...made, badge };
  };
  const update = ({ cells, badge }, order) => {
    say(badge, plain(order.state));
    dress(badge, `badge ${order.state.replace("_", "-")}`);
    const times = [order.age_ms, order.stock_held_after_ms, order.ended_after_ms].map(duration);
    const texts = [order.cancel_reason ? plain(order.cancel_reason) : "–", money(order.total), ...times];
    texts.forEach((text, at) => say(cells[at + 2], text));
  };

  async function poll() {
    try {
      const answer = await ask("/api/orders", { state: state.value });
      show(trouble, false);
      show(none, answer.orders.length === 0);
      keyed(list.body, answer.orders, (order) => order.order_id, make, update);
    } catch (refusal) {
      say(trouble, `The orders are unknown: ${refusal.message}`);
      show(trouble, true);
    }
  }
  return { poll };
}
