// The gateway's key: in this tab's session alone, and only where one was asked for.
import { signal } from "@preact/signals";

const NAME = "tailrace.key";

export const key = signal(read());
/** Whether the gateway refused us for want of a key, or of the right one. */
export const wanted = signal(false);
/** Whether the page asks for it just now. */
export const asking = signal(false);

/** Asks for a key, unless another one has been entered since this header was sent. */
export function refused(sent = authorization()) {
  if (sent.Authorization !== authorization().Authorization) return;
  wanted.value = true;
  asking.value = true;
}

export function enter(text) {
  key.value = text;
  wanted.value = false;
  asking.value = false;
  write(text);
}

export function forget() {
  key.value = "";
  write("");
}

export function authorization() {
  return key.value ? { Authorization: `Bearer ${key.value}` } : {};
}

function read() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // Storage is closed to this page: the key lives as long as it.
  }
}

function write(text) {
  try {
    if (text) sessionStorage.setItem(NAME, text);
    else sessionStorage.removeItem(NAME);
  } catch {
    // As above.
  }
}
