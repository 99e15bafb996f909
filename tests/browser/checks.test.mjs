// A check that finds nothing on a bad page is none.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open } from "./browser.mjs";
import { accessible, fits, moved, weigh } from "./checks.mjs";
import { SHOP } from "./shop.mjs";

async function home() {
  const window = await open();
  const tooHeavy = weigh(window.page);
  await window.page.goto(SHOP);
  return { ...window, tooHeavy };
}

/** Changes the page, which was good until then. */
async function found(check, change) {
  const { page } = await home();
  assert.deepEqual(await check(page), []);
  await page.evaluate(change);
  return (await check(page)).join();
}

test("text with too little contrast is found in light and in dark colours", async () => {
  const complaints = await found(accessible, () => {
    document.querySelector(".lead").style.color = "#808080";
  });
  assert.match(complaints, /light: color-contrast/);
  const dark = await found(accessible, () => {
    document.querySelector("h1").style.color = "#222";
  });
  assert.match(dark, /^dark: color-contrast/);
});

test("what sticks out is found on a narrow screen, and when text is large", async () => {
  const narrow = await found(fits, () => {
    document.querySelector("h1").style.width = "400px";
  });
  assert.match(narrow, /^normal text in 320 pixels: .*<h1/);
  const large = await found(fits, () => {
    document.querySelector("h1").style.width = "50rem";
  });
  assert.match(large, /large text in 1280 pixels/);
});

test("what moves by itself is found", async () => {
  const complaints = await found(moved, () => document.querySelector("header").remove());
  assert.match(complaints, /moves by itself/);
});

test("a heavy script and a broken policy are found", async () => {
  const { page, complaints, tooHeavy } = await home();
  assert.deepEqual(await tooHeavy(), []);
  await page.route("**/heavy.js", (route) =>
    route.fulfill({ contentType: "text/javascript", body: `//${"x".repeat(11 << 10)}` }),
  );
  await page.evaluate(async () => {
    const script = document.createElement("script");
    const loaded = new Promise((done) => script.addEventListener("load", done));
    try {
      script.src = "/heavy.js"; // no trusted type
    } catch {
      await import("/heavy.js");
      return;
    }
    document.head.append(script);
    await loaded;
  });
  assert.match((await tooHeavy()).join(), /heavy.js/);
  assert.match(complaints.join(), /Trusted/i);
});
