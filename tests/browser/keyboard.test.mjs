// A keyboard is enough.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { open } from "./browser.mjs";
import { SHOP } from "./shop.mjs";
import { PASSWORD, heading } from "./steps.mjs";

/** More than there is on any page to tab to. */
const TABS_MAX = 80;

/** Whether an element has the focus, and is seen to have it. */
function focused(element) {
  if (element !== document.activeElement) return false;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  if (outlineStyle === "none" || parseFloat(outlineWidth) === 0) throw new Error("nobody sees the focus");
  return true;
}

async function tabTo(page, element) {
  await element.first().waitFor();
  for (let tabs = 0; tabs < TABS_MAX; tabs++) {
    await page.keyboard.press("Tab");
    if (await element.first().evaluate(focused)) return;
  }
  assert.fail(`${element} is not reached`);
}

async function follow(page, role, name) {
  await tabTo(page, page.getByRole(role, { name }));
  await page.keyboard.press("Enter");
}

async function type(page, label, text) {
  await tabTo(page, page.getByLabel(label));
  await page.keyboard.type(text);
}

for (const [how, javaScript] of [["with JavaScript", true], ["without JavaScript", false]]) {
  test(`a keyboard is enough to buy ${how}`, async () => {
    const { page } = await open({ javaScript });
    await page.goto(SHOP);
    await type(page, "Search", "saffron threads");
    await page.keyboard.press("Enter");
    await follow(page, "link", "Saffron threads");
    await follow(page, "button", "Put into the cart");
    await follow(page, "link", "Sign in and check out");
    await follow(page, "link", "Register");
    await heading(page, "Register");
    await type(page, "Name", "Zohra Amrani");
    await type(page, "E-mail", `${randomUUID()}@example.com`);
    await type(page, "Password", PASSWORD);
    await page.keyboard.press("Enter");
    await heading(page, "Checkout");
    await type(page, "Name", "Zohra Amrani");
    await type(page, "Street and number", "1 Bazaar Lane");
    await type(page, "City", "London");
    await type(page, "Postcode", "N1 1AA");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Where to?" }).waitFor({ state: "detached" });
    await follow(page, "button", "Add this card");
    await follow(page, "button", /^Order and pay/);
    await heading(page, "Your order is confirmed");
  });
}

test("the first thing to tab to leads past the header", async () => {
  const { page } = await open();
  await page.goto(SHOP);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const inContent = await page.evaluate(() => document.querySelector("main").contains(document.activeElement));
  assert.ok(inContent);
});
