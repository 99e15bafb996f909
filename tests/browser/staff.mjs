// What the shop's staff does, through its JSON API.

import assert from "node:assert/strict";

import { SHOP } from "./shop.mjs";

let token;

async function call(method, path, body) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(SHOP + path, { method, headers, body: JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status}`);
  return response.status === 204 ? undefined : response.json();
}

async function asStaff(method, path, body) {
  const [email, password] = [process.env.SOUK_STAFF_EMAIL, process.env.SOUK_STAFF_PASSWORD];
  token ??= (await call("POST", "/v1/sessions", { email, password })).access_token;
  return call(method, `/v1/staff${path}`, body);
}

/** All that customers have sent back has arrived. */
export async function receiveReturns() {
  const { returns } = await asStaff("GET", "/returns");
  for (const { order_id, return_id, items } of returns) {
    const arrived = items.map(({ product_id, quantity }) => ({ product_id, quantity }));
    await asStaff("POST", `/orders/${order_id}/returns/${return_id}/receive`, { items: arrived });
  }
}

export const changePrice = (product, minor_units) =>
  asStaff("PUT", `/products/${product}/price`, { currency: "GBP", minor_units });

/** A product is on sale no more. */
export const retire = (product) => asStaff("DELETE", `/products/${product}`);
