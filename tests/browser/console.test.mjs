// The console beside the shop: it breaks what runs, and says what came of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open, picture } from "./browser.mjs";
import { accessible, fits } from "./checks.mjs";
import { eventually } from "./eventually.mjs";
import { chargeAgain, withoutPayments } from "./shop.mjs";
import * as steps from "./steps.mjs";

const CONSOLE = process.env.SOUK_CONSOLE;
/** The auditor takes its time: it looks for a tenth of it. */
const VERDICT_MS = 120_000;
const SECTIONS = ["Shop", "Faults", "Orders", "Events", "Caches", "Logs", "Traces"];

/** The console, as whoever was given its address opens it. */
async function openConsole(address = CONSOLE) {
  const { page, complaints } = await open();
  await page.goto(address);
  return { page, complaints };
}

const verdict = (page, word) =>
  page.locator("#verdict-word", { hasText: word }).waitFor({ timeout: VERDICT_MS });
const section = (page, name) => page.getByRole("tab", { name }).click();
/** From its top: the verdict stays where it is seen. */
async function shot(page, name) {
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: picture(name), fullPage: true });
}

test("payment is killed in the middle of a checkout, and the verdict stays kept", async () => {
  const { page: console, complaints } = await openConsole();
  const { page: shop } = await open();
  await verdict(console, "Kept");
  await shot(console, "console-1-kept");
  const payment = console.getByRole("row", { name: /^payment/ });
  await withoutPayments(async () => {
    await steps.buy(shop);
    await steps.settling(shop);
    await verdict(console, "At work");
    await console.getByRole("button", { name: "Kill payment" }).click();
    await console.getByText("Begun: cargo souk fault kill payment").waitFor();
    await console.locator(".band-text", { hasText: "kill payment" }).first().waitFor();
    await shot(shop, "console-2-order-waits");
    await shot(console, "console-3-under-fire");
  });
  await payment.getByText("ready", { exact: true }).waitFor();
  await steps.heading(shop, "Your order is confirmed");
  await verdict(console, "Kept");
  await shot(shop, "console-4-order-confirmed");
  await shot(console, "console-5-kept-again");
  await section(console, "Faults");
  await console.getByRole("row", { name: /^kill payment/ }).getByText("over").waitFor();
  assert.deepEqual(complaints, []);
});

test("an order is found with its trace, and its services' lines in the logs", async () => {
  const { page, complaints } = await openConsole();
  const { page: shop } = await open();
  await steps.buy(shop);
  await steps.heading(shop, "Your order is confirmed");
  const order = shop.url().split("/").at(-1);
  await section(page, "Orders");
  await page.getByText(order.slice(0, 8)).first().waitFor();
  await section(page, "Traces");
  await page.getByLabel("Order id").fill(order);
  await page.getByRole("button", { name: "Search" }).click();
  const found = page.getByRole("row", { name: "POST /checkout" });
  await eventually("one trace is left", async () => (await found.count()) === 1);
  await found.getByRole("button").click();
  await page.locator(".waterfall", { hasText: "payment" }).waitFor();
  await shot(page, "console-trace");
  await section(page, "Logs");
  await page.getByText("starting").first().waitFor();
  assert.deepEqual(complaints, []);
});

for (const name of SECTIONS) {
  test(`its section ${name} can be used by everybody, on every screen`, async () => {
    const { page, complaints } = await openConsole();
    await page.locator("#verdict-age", { hasText: "looked" }).waitFor({ timeout: VERDICT_MS });
    await section(page, name);
    await shot(page, `console-section-${name.toLowerCase()}`);
    assert.deepEqual([...(await accessible(page)), ...(await fits(page)), ...complaints], []);
  });
}

test("its sections are reached by the keyboard alone", async () => {
  const { page } = await openConsole();
  await page.getByRole("tab", { name: "Shop" }).focus();
  for (const name of SECTIONS.slice(1)) {
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), name);
  }
});

test("without its token nothing is shown", async () => {
  const { page } = await openConsole(CONSOLE.split("#")[0]);
  await page.getByRole("heading", { name: "The address has no token" }).waitFor();
  await page.goto(`${CONSOLE.split("#")[0]}#token=${"a".repeat(64)}`);
  await page.getByText("The console has another token now.").waitFor();
});

test("by another name nothing is answered", async () => {
  const { page } = await open();
  const { port } = new URL(CONSOLE);
  const answer = await page.goto(`http://localhost:${port}/`);
  assert.equal(answer.status(), 421);
});

// The last of this file: from here on the records show it.
test("a provider that charges twice turns the verdict red", async () => {
  const { page } = await openConsole();
  const { page: shop } = await open();
  await steps.buy(shop);
  await steps.heading(shop, "Your order is confirmed");
  const order = shop.url().split("/").at(-1);
  await chargeAgain(order);
  await verdict(page, "Broken: nobody_is_charged_twice");
  await eventually("the order is named", () => page.locator("#verdict-checks", { hasText: order }).isVisible());
  await shot(page, "console-broken");
});
