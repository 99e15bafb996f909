// One Chromium for the tests of a file, and windows in it.

import { createRequire } from "node:module";
import { after } from "node:test";

import { LIMIT } from "./eventually.mjs";

const { chromium } = createRequire(`${process.env.SOUK_NODE_MODULES}/`)("playwright-core");

const browser = await chromium.launch({ executablePath: process.env.SOUK_CHROMIUM });
after(() => browser.close());

/** The file of a picture, which is left for people to look at. */
export const picture = (name) => `${process.env.SOUK_PICTURES}/${name}.png`;

/** Adds up how far what is shown has moved by itself. */
function watchShifts() {
  window.shifts = 0;
  const add = (list) => list.getEntries().forEach((entry) => (window.shifts += entry.value));
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
}

/** A window of somebody new, or with the cookies that `as` kept; what the browser complains about is in `complaints`. */
export async function open({ javaScript = true, as } = {}) {
  const context = await browser.newContext({
    javaScriptEnabled: javaScript,
    storageState: as,
    viewport: { width: 1280, height: 800 },
  });
  context.setDefaultTimeout(LIMIT);
  await context.addInitScript(watchShifts);
  const page = await context.newPage();
  return { page, complaints: complaintsOf(page), close: () => context.close() };
}

/** Errors and warnings, such as of a broken content security policy. A page that says 404 is one of ours. */
function complaintsOf(page) {
  const complaints = [];
  const isThePageItself = (message) =>
    message.text().startsWith("Failed to load resource") && message.location().url === page.url();
  page.on("console", (message) => {
    const bad = ["error", "warning"].includes(message.type()) && !isThePageItself(message);
    if (bad) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error}`));
  return complaints;
}
