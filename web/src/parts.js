// Parts of the page that are loaded when they are first needed.
import { send } from "./gateway.js";

/** Load a style sheet. */
export function loadStyle(name) {
  return new Promise((resolve, reject) => {
    const link = document.createElement("link");
    Object.assign(link, { rel: "stylesheet", href: `/static/${name}`, onload: resolve });
    link.onerror = () => reject(new Error(`${name} is missing`));
    document.head.append(link);
  });
}

/**
 * Why a part was not loaded: a browser does not say whether the gateway was there.
 *
 * @param {string} name of the part @param {string} file of its script @param {Error} error what
 * came of loading it
 */
export async function whyUnloaded(name, file, error) {
  try {
    const { ok, status } = await send(`/static/${file}`, { method: "HEAD" });
    const why = ok ? error.message : `the gateway answered HTTP ${status}`;
    return `${name} could not be loaded: ${why}.`;
  } catch (failure) {
    return failure.message;
  }
}
