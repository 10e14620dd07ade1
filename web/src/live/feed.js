// The gateway's figures as they come, a record a second, and the last minutes of them. Looks only
// while it is looked at.
import { signal } from "@preact/signals";

import { figures } from "../gateway.js";
import { wanted } from "../key.js";
import { COLUMNS, History, KEPT } from "./history.js";

const FIRST_WAIT = 1000; // milliseconds
const LONGEST_WAIT = 30_000;

/** The newest record, or null. */
export const now = signal(null);
/** "connecting" | "open" | "waiting" | "paused" */
export const state = signal("paused");
export const failure = signal(null);
/** Grows with each record: time to draw. */
export const drawn = signal(0);
export const history = new History(COLUMNS);

/** Watch until the returned function is called; a hidden page is not watching. */
export function watch() {
  let controller = null;
  const look = () => {
    controller?.abort();
    controller = null;
    if (document.hidden) return pause();
    controller = new AbortController();
    follow(controller.signal);
  };
  const stopKey = wanted.subscribe(() => look());
  document.addEventListener("visibilitychange", look);
  return () => {
    stopKey();
    document.removeEventListener("visibilitychange", look);
    controller?.abort();
    pause();
  };
}

function pause() {
  state.value = "paused";
  history.interrupt();
}

async function follow(signal) {
  let wait = FIRST_WAIT;
  while (!signal.aborted && !wanted.value) {
    state.value = "connecting";
    wait = (await read(signal)) ? FIRST_WAIT : Math.min(LONGEST_WAIT, 2 * wait);
    if (signal.aborted || wanted.value) return;
    history.interrupt();
    state.value = "waiting";
    // Many pages that lost one gateway must not all come back at the same moment.
    await pausing(wait * (0.5 + Math.random() / 2), signal);
  }
}

/** Read until the stream ends. @returns {Promise<boolean>} whether anything came */
async function read(signal) {
  let came = false;
  try {
    for await (const record of figures(KEPT, signal)) {
      came = true;
      take(record);
    }
  } catch (error) {
    if (!signal.aborted) failure.value = error;
  }
  return came;
}

function take(record) {
  if (record.past) return history.begin(record.past);
  history.add(record);
  failure.value = null;
  state.value = "open";
  now.value = record;
  drawn.value += 1;
}

function pausing(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
