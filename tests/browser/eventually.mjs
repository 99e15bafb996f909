import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

/** How long anything may take, in milliseconds. */
export const LIMIT = 30_000;
const PAUSE = 20;

/** Waits until a condition holds. */
export async function eventually(what, holds) {
  const end = Date.now() + LIMIT;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `not within ${LIMIT} ms: ${what}`);
    await setTimeout(PAUSE);
  }
}
