// What customers do, each on the page that the step before has led to.

import { randomUUID } from "node:crypto";

import { eventually } from "./eventually.mjs";
import { SHOP } from "./shop.mjs";

export const PASSWORD = "correct horse";

const button = (page, name) => page.getByRole("button", { name });
const link = (page, name) => page.getByRole("link", { name });

/** Waits for a page, or for what a page becomes. */
export const heading = (page, name) => page.getByRole("heading", { level: 1, name }).waitFor();

/** Sends a form, and waits for the page that it leads to. */
const send = (page, name) => Promise.all([page.waitForEvent("load"), button(page, name).click()]);

/** For what no page shows by itself. */
export const reloadUntilShown = (page, text) =>
  eventually(`${text} is shown`, async () => {
    await page.reload();
    return page.getByText(text).isVisible();
  });

export async function putIntoCart(page, { shop = SHOP, words = "espresso cup" } = {}) {
  await page.goto(shop);
  await page.getByRole("searchbox").fill(words);
  await button(page, "Search").click();
  await page.locator(".shelf a").first().click();
  await button(page, "Put into the cart").click();
  await heading(page, "Your cart");
}

/** On the page for it. */
export async function register(page, email = `${randomUUID()}@example.com`) {
  await page.getByLabel("Name").fill("Zohra <b>Amrani</b>");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(PASSWORD);
  await send(page, "Register");
  return email;
}

export async function addAddress(page) {
  await page.getByLabel("Name").fill("Zohra Amrani");
  await page.getByLabel("Street and number").fill("1 Bazaar Lane");
  await page.getByLabel("City").fill("London");
  await page.getByLabel("Postcode").fill("N1 1AA");
  await send(page, "Add this address");
}

export async function addCard(page, card = "tok_visa") {
  await page.getByLabel("A card of the simulated provider").selectOption(card);
  await send(page, "Add this card");
}

/** From a cart to a checkout that has everything, as somebody with a new account. */
export async function prepare(page, card) {
  await link(page, "Sign in and check out").click();
  await link(page, "Register").click();
  await register(page);
  await heading(page, "Checkout");
  await addAddress(page);
  await addCard(page, card);
}

export async function order(page) {
  await button(page, /^Order and pay/).click();
  await page.waitForURL("**/orders/*");
}

/** Somebody with an account, an address and a card, who has ordered; the page shows the order. */
export async function buy(page, { card, shop } = {}) {
  await putIntoCart(page, { shop });
  await prepare(page, card);
  await order(page);
}

/** Waits until the page of an order shows that its stock is held and its payment is not there yet. */
export async function settling(page) {
  await heading(page, "Your order is being settled");
  await lane(page, "product").locator(".done").waitFor();
  await lane(page, "payment").locator(".waits").waitFor();
}

const lane = (page, service) => page.locator(".lane", { has: page.getByRole("heading", { name: service }) });

/** The services that show an event of this kind: `done`, `waits`, `failed` or `undone`, a compensation. */
export const lanesWith = (page, kind) =>
  page.locator(".lane", { has: page.locator(`.${kind}`) }).locator("h2").allInnerTexts();
