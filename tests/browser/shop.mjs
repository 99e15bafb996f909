// The shop that is tested: its addresses and processes, from the state file of its operator.

import { readFileSync } from "node:fs";

import { eventually } from "./eventually.mjs";

const processes = () => JSON.parse(readFileSync(process.env.SOUK_STATE, "utf8")).processes;
const find = (name) => processes().find((it) => it.name === name);

/** The URL of a gateway. Browsers send a host's cookies to all of its ports. */
const gateway = (name) => `http://${find(name).listen}`;

/** The gateway that all tests use. */
export const SHOP = gateway("gateway");
/** The one that some of them kill. */
export const OTHER = gateway("gateway-2");

const signal = (name, which) => process.kill(find(name).process.pid, which);

/** Kills [`OTHER`]. The operator starts it again, after a while. */
export const killOther = () => signal("gateway-2", "SIGKILL");

/** Waits until [`OTHER`] answers. */
export const otherAnswers = () =>
  eventually("gateway-2 answers", () => fetch(OTHER).then((it) => it.ok, () => false));

/** The provider takes the money of an order once more: a bug of somebody. */
export async function chargeAgain(order) {
  const amount = { currency: "GBP", minor_units: 100 };
  const answer = await fetch(`http://${find("psp").listen}/v1/captures`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": `again-${order}` },
    body: JSON.stringify({ amount, card_token: "tok_approve", reference: order }),
  });
  if (!answer.ok) throw new Error(`the provider answers ${answer.status}`);
}

/** Does something while the payment provider answers nobody: an order is then being settled for as long. */
export async function withoutPayments(act) {
  signal("psp", "SIGSTOP");
  try {
    return await act();
  } finally {
    signal("psp", "SIGCONT");
  }
}
