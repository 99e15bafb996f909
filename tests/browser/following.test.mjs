// The page of an order follows it, with JavaScript and without, and outlives a gateway.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open, picture } from "./browser.mjs";
import { moved } from "./checks.mjs";
import { OTHER, SHOP, killOther, otherAnswers, withoutPayments } from "./shop.mjs";
import * as steps from "./steps.mjs";

/** The page of an order that waits for its payment. */
async function settling(page, shop = SHOP) {
  await steps.buy(page, { shop });
  await steps.settling(page);
}

/** A settled order has no button to cancel it and buttons to send lines back: what is below moves a little, once. */
const FOOTER = 0.01;

test("an order is followed in the same page, which says so and keeps the focus", async () => {
  const { page, complaints } = await open();
  await withoutPayments(async () => {
    await settling(page);
    await page.getByRole("button", { name: "Cancel this order" }).focus();
    await page.evaluate(() => (window.announcer = document.querySelector("[role=status]")));
  });
  await steps.heading(page, "Your order is confirmed");
  const [announces, focused] = await page.evaluate(() => [
    window.announcer === document.querySelector("[role=status]"), // a screen reader announces changes of what was there
    document.activeElement.id,
  ]);
  assert.deepEqual([announces, focused], [true, "content"]);
  assert.deepEqual([...complaints, ...(await moved(page, FOOTER))], []);
});

test("a stream that is refused is opened again", async () => {
  const { page } = await open();
  await page.route("**/live", (route) => route.fulfill({ status: 503 }), { times: 1 });
  await withoutPayments(async () => {
    const refused = page.waitForResponse("**/live");
    await settling(page);
    await refused;
  });
  await steps.heading(page, "Your order is confirmed");
});

test("an order is followed without JavaScript", async () => {
  const { page } = await open({ javaScript: false });
  await withoutPayments(() => settling(page));
  await steps.heading(page, "Your order is confirmed");
});

test("an order that is cancelled while it is paid for is undone", async () => {
  const { page } = await open();
  await withoutPayments(async () => {
    await settling(page);
    await page.getByRole("button", { name: "Cancel this order" }).click();
    await steps.heading(page, "Your order was undone");
    assert.ok((await steps.lanesWith(page, "undone")).includes("product"));
    await page.screenshot({ path: picture("order-cancelled"), fullPage: true });
  });
});

test("a gateway that is killed between cart and order costs nothing", async () => {
  await otherAnswers();
  const { page, complaints } = await open();
  const copy = page.locator("footer code");
  await steps.putIntoCart(page, { shop: OTHER });
  await steps.prepare(page);
  const killed = await copy.innerText();
  killOther();
  await page.goto(`${SHOP}/checkout`);
  assert.notEqual(await copy.innerText(), killed);
  await steps.order(page);
  await steps.heading(page, "Your order is confirmed");
  assert.deepEqual(complaints, []);
});

test("the page of an order outlives the gateway that it is followed through", async () => {
  await otherAnswers();
  const { page } = await open();
  await withoutPayments(async () => {
    await settling(page, OTHER);
    killOther();
  });
  await steps.heading(page, "Your order is confirmed");
});
