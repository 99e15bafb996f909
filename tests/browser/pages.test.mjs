// Every page in every state keeps to what pages have to keep to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open, picture } from "./browser.mjs";
import { accessible, fits, moved, weigh } from "./checks.mjs";
import { states } from "./states.mjs";

for (const state of await states()) {
  test(state.name, () =>
    state.during(async () => {
      const { page, complaints, close } = await open({ as: state.as });
      const tooHeavy = weigh(page);
      await state.open(page);
      const found = await moved(page); // first: a picture of a whole page moves it
      await page.screenshot({ path: picture(state.name), fullPage: true });
      found.push(...(await tooHeavy()), ...complaints, ...(await accessible(page)), ...(await fits(page)));
      assert.deepEqual(found, []);
      await close();
    }),
  );
}
