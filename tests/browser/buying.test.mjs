// Orders that customers place, follow and send back, with JavaScript and without.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open } from "./browser.mjs";
import { SHOP } from "./shop.mjs";
import { receiveReturns } from "./staff.mjs";
import * as steps from "./steps.mjs";

for (const [how, javaScript] of [["with JavaScript", true], ["without JavaScript", false]]) {
  test(`a guest's cart becomes a confirmed order ${how}`, async () => {
    const { page, complaints } = await open({ javaScript });
    await steps.putIntoCart(page);
    await page.getByLabel("Quantity of Stoneware espresso cup").fill("2");
    await page.getByRole("button", { name: "Change" }).click();
    await page.getByText("Total £17.00").waitFor();
    await steps.prepare(page);
    await steps.order(page);
    await steps.heading(page, "Your order is confirmed");
    assert.deepEqual(await steps.lanesWith(page, "done"), ["order", "product", "payment"]);
    await page.getByRole("link", { name: "Orders" }).click();
    await page.getByRole("row", { name: "Your order is confirmed £17.00" }).waitFor();
    await page.goto(`${SHOP}/cart`);
    await page.getByText("It is empty").waitFor();
    assert.deepEqual(complaints, []);
  });

  test(`a declined card is undone, and shown as a compensation, ${how}`, async () => {
    const { page, complaints } = await open({ javaScript });
    await steps.buy(page, { card: "tok_decline" });
    await steps.heading(page, "Your order was undone");
    assert.deepEqual(await steps.lanesWith(page, "undone"), ["product"]);
    assert.deepEqual(await steps.lanesWith(page, "failed"), ["order", "payment"]);
    await page.goto(`${SHOP}/cart`);
    await page.getByText("Total £8.50").waitFor();
    assert.deepEqual(complaints, []);
  });

  test(`a line is sent back and paid back ${how}`, async () => {
    const { page, complaints } = await open({ javaScript });
    await steps.buy(page);
    await page.getByRole("button", { name: "Send back" }).click();
    await page.getByText("1 on the way back").waitFor();
    await receiveReturns();
    await steps.reloadUntilShown(page, "paid back £8.50");
    await page.getByText("1 returned").waitFor();
    assert.deepEqual(await steps.lanesWith(page, "undone"), ["payment"]);
    assert.deepEqual(complaints, []);
  });
}

test("whoever signs out is asked to sign in again, and comes back", async () => {
  const { page } = await open();
  await page.goto(`${SHOP}/register`);
  const email = await steps.register(page);
  await page.getByText("Zohra <b>Amrani</b>").waitFor(); // text, no markup
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.goto(`${SHOP}/orders`);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(steps.PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await steps.heading(page, "Your orders");
});
