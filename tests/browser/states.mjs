// Every page of the shop in every state that looks different, and how to get there.

import { randomUUID } from "node:crypto";

import { open } from "./browser.mjs";
import { SHOP, withoutPayments } from "./shop.mjs";
import { changePrice, retire } from "./staff.mjs";
import * as steps from "./steps.mjs";

const path = (url) => new URL(url, SHOP).pathname;

/** Does something as somebody new; the cookies that this leaves, and what it answers. */
async function someone(act) {
  const { page, close } = await open();
  const known = await act(page);
  const as = await page.context().storageState();
  await close();
  return { as, ...known };
}

/** Somebody with a card that pays and one that is declined, who has a confirmed order, an undone one, and a cart. */
async function customer(page) {
  await steps.buy(page);
  await steps.heading(page, "Your order is confirmed");
  const confirmed = path(page.url());
  await page.goto(`${SHOP}/account`);
  await steps.addCard(page, "tok_decline");
  await steps.putIntoCart(page);
  const product = await page.locator("td a").getAttribute("href");
  await page.goto(`${SHOP}/checkout`);
  await page.getByLabel(/is declined/).check();
  await steps.order(page);
  await steps.heading(page, "Your order was undone");
  return { confirmed, undone: path(page.url()), product };
}

/** Somebody who has an account and nothing else. */
async function newcomer(page) {
  await page.goto(`${SHOP}/register`);
  return { email: await steps.register(page) };
}

/** The shop's staff. */
async function staff(page) {
  await page.goto(`${SHOP}/sign-in?next=/staff`);
  await page.getByLabel("E-mail").fill(process.env.SOUK_STAFF_EMAIL);
  await page.getByLabel("Password").fill(process.env.SOUK_STAFF_PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await steps.heading(page, "Staff");
}

/** Sends a catalogue file, as staff. */
async function importFile(page, lines) {
  await page.goto(`${SHOP}/staff/imports`);
  const buffer = Buffer.from(["sku,name,category,price", ...lines, ""].join("\n"));
  await page.getByLabel(/CSV file/).setInputFiles({ name: "catalogue.csv", mimeType: "text/csv", buffer });
  await page.getByRole("button", { name: "Import it" }).click();
}

/** A guest with something in the cart that is no longer on sale. */
async function unlucky(page) {
  await steps.putIntoCart(page, { words: "rose petals" });
  const retired = await page.locator("td a").getAttribute("href");
  await retire(retired.split("/").pop());
  return { retired };
}

/** A price changes while a customer reads the checkout. */
async function prices(page, product, act) {
  await page.goto(`${SHOP}/checkout`);
  const id = product.split("/").pop();
  await changePrice(id, 851);
  await act();
  await changePrice(id, 850);
}

const at = (path) => (page) => page.goto(SHOP + path);
const always = (act) => act();

/** Name, cookies, what to do in a new window, and during what. In this order: some change what later ones see. */
export async function states() {
  const [known, fresh, guest] = [await someone(customer), await someone(newcomer), await someone(unlucky)];
  const keeper = await someone(staff);
  const of = (as) => (name, open, during = always) => ({ name, as, open, during });
  const [nobody, newly, customers, staffs] = [of(undefined), of(fresh.as), of(known.as), of(keeper.as)];
  return [
    nobody("home", at("/")),
    nobody("products", at("/products")),
    nobody("category", at("/products?category=Tea%20and%20coffee")),
    nobody("second-page", async (page) => {
      await page.goto(`${SHOP}/products`);
      await page.getByRole("link", { name: "More" }).click();
    }),
    nobody("no-category", at("/products?category=Shoes")),
    nobody("search", at("/search?q=cup")),
    nobody("search-nothing", at("/search?q=zeppelin")),
    nobody("search-unasked", at("/search")),
    nobody("product", at(known.product)),
    nobody("product-retired", at(guest.retired)),
    nobody("no-product", at(`/products/${randomUUID()}`)),
    nobody("no-page", at("/nothing")),
    nobody("cart-empty", at("/cart")),
    of(guest.as)("cart-retired", at("/cart")),
    nobody("sign-in", at("/sign-in")),
    nobody("sign-in-refused", async (page) => {
      await page.goto(`${SHOP}/sign-in`);
      await page.getByLabel("E-mail").fill(fresh.email);
      await page.getByLabel("Password").fill("wrong");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("alert").waitFor();
    }),
    nobody("register", at("/register")),
    nobody("register-refused", async (page) => {
      await page.goto(`${SHOP}/register`);
      await steps.register(page, fresh.email);
      await page.getByRole("alert").waitFor();
    }),
    newly("account-new", at("/account")),
    newly("orders-none", at("/orders")),
    newly("checkout-empty", at("/checkout")),
    newly("checkout-new", async (page) => {
      await steps.putIntoCart(page);
      await page.goto(`${SHOP}/checkout`);
    }),
    customers("account", at("/account")),
    customers("orders", at("/orders")),
    customers("cart", at("/cart")),
    customers("checkout", at("/checkout")),
    customers("checkout-refused", (page) =>
      prices(page, known.product, async () => {
        await page.getByRole("button", { name: /^Order and pay/ }).click();
        await page.getByRole("alert").waitFor();
      }),
    ),
    customers("order-undone", at(known.undone)),
    customers("order-confirmed", at(known.confirmed)),
    customers("order-sent-back", async (page) => {
      await page.goto(SHOP + known.confirmed);
      await page.getByRole("button", { name: "Send back" }).click();
      await page.getByText("1 on the way back").waitFor();
    }),
    customers(
      "order-settling",
      async (page) => {
        await page.goto(`${SHOP}/checkout`);
        await steps.order(page);
        await steps.settling(page);
      },
      withoutPayments,
    ),
    customers("staff-only", at("/staff")),
    staffs("staff", at("/staff")),
    staffs("staff-products", at("/staff/products")),
    staffs("staff-products-nothing", at("/staff/products?q=zeppelin")),
    staffs("staff-product-refused", async (page) => {
      await page.goto(`${SHOP}/staff/products`);
      await page.getByLabel("SKU", { exact: true }).fill("NEW-1");
      await page.getByLabel("Name", { exact: true }).fill("Zellige tile");
      await page.getByLabel("Category").fill("Tiles");
      await page.getByLabel(/^Price/).fill("2,55");
      await page.getByRole("button", { name: "Add this product" }).click();
      await page.getByText("pounds and pence").waitFor();
    }),
    staffs("staff-product", at(`/staff${known.product}`)),
    staffs("staff-price-refused", async (page) => {
      await page.goto(`${SHOP}/staff${known.product}`);
      await page.getByLabel(/^In pounds/).fill("free");
      await page.getByRole("button", { name: "Change the price" }).click();
      await page.getByText("pounds and pence").waitFor();
    }),
    staffs("staff-no-product", at(`/staff/products/${randomUUID()}`)),
    staffs("staff-returns", at("/staff/returns")),
    staffs("staff-refunds", at("/staff/refunds")),
    staffs("staff-imports", at("/staff/imports")),
    staffs("staff-import-refused", async (page) => {
      await importFile(page, ["TILE-1,Zellige tile,Tiles,dear"]);
      await page.getByText("line 2: price").waitFor();
    }),
    staffs("staff-import", async (page) => {
      await importFile(page, ["TILE-1,Zellige tile,Tiles,2.55"]);
      await steps.heading(page, "The import is done");
      await page.reload(); // what it showed before has moved
    }),
  ];
}
