// What every page has to keep to. Each check answers with complaints; none is good.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const modules = createRequire(`${process.env.SOUK_NODE_MODULES}/`);
const AXE = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");

/** In bytes on the wire: a first page is here after one round trip (RFC 6928: ten segments). */
const BYTES_MAX = { document: 14 << 10, stylesheet: 8 << 10, script: 10 << 10 };
const NARROW = { width: 320, height: 700 };
const WIDE = { width: 1280, height: 800 };
/** Browsers' own sizes are 16 and 13 pixels. */
const NORMAL_TEXT = { standard: 16, fixed: 13 };
const LARGE_TEXT = { standard: 32, fixed: 26 };

/** Weighs what a window loads from now on; the function that is returned answers with what is too heavy. */
export function weigh(page) {
  const loaded = [];
  page.on("requestfinished", (request) => loaded.push(request));
  return async () => {
    const tooHeavy = [];
    for (const request of loaded) {
      const { responseBodySize: bytes } = await request.sizes();
      const limit = BYTES_MAX[request.resourceType()];
      if (bytes > limit) tooHeavy.push(`${request.url()}: ${bytes} bytes, at most ${limit}`);
    }
    return loaded.length === 0 ? ["nothing was loaded"] : tooHeavy;
  };
}

/** Whether what was shown has moved by itself (cumulative layout shift), by the next two frames, more than it may. */
export async function moved(page, most = 0) {
  const shifts = await page.evaluate(async () => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    await frame();
    return window.shifts;
  });
  return shifts <= most ? [] : [`what is shown moves by itself: ${shifts}`];
}

/** What axe-core finds, and then in dark colours: of its rules, what depends on them. */
export async function accessible(page) {
  await page.evaluate(AXE);
  const inLight = await violations(page, { rules: { "target-size": { enabled: true } } });
  await page.emulateMedia({ colorScheme: "dark" });
  const inDark = await violations(page, { runOnly: ["color-contrast", "link-in-text-block"] });
  await page.emulateMedia({ colorScheme: null });
  return [...inLight.map((it) => `light: ${it}`), ...inDark.map((it) => `dark: ${it}`)];
}

async function violations(page, options) {
  const run = (options) => axe.run({ resultTypes: ["violations"], ...options });
  const { violations } = await page.evaluate(run, options);
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((it) => it.html).join(" ")}`);
}

/** Whether it has to be scrolled sideways: on a narrow screen, with text twice as large, and with both. */
export async function fits(page) {
  const devtools = await page.context().newCDPSession(page);
  const found = [];
  for (const [text, fontSizes] of [["normal", NORMAL_TEXT], ["large", LARGE_TEXT]]) {
    await devtools.send("Page.setFontSizes", { fontSizes });
    for (const size of [NARROW, WIDE]) {
      await page.setViewportSize(size);
      const wide = await page.evaluate(tooWide);
      if (wide) found.push(`${text} text in ${size.width} pixels: ${wide}`);
    }
  }
  await devtools.send("Page.setFontSizes", { fontSizes: NORMAL_TEXT });
  return found;
}

/** In the page: what sticks out, if anything. */
function tooWide() {
  const { scrollWidth } = document.documentElement;
  if (scrollWidth <= innerWidth) return undefined;
  const sticksOut = (element) => element.getBoundingClientRect().right > innerWidth;
  const elements = [...document.querySelectorAll("main, main *, header, header *, footer *")];
  const names = elements.filter(sticksOut).map((element) => element.outerHTML.slice(0, 60));
  return `${scrollWidth} wide: ${names.slice(0, 5).join(" | ")}`;
}
