// The code of one answer in colours. Some texts take a highlighter as long as the square of their
// length: it gets code in pieces, and only so much time.
import { loadStyle } from "../parts.js";
import { pieces } from "./pieces.js";
import { safeColours } from "./safe.js";

const MOST = 500; // milliseconds for one answer
const MOST_OF_A_PIECE = 100; // longer ones would hold up the page too often

let highlighting = null;

export class Colours {
  #left = MOST;

  /** Colour a `code` element of a language. What there is no time for, or no colours, stays. */
  async add(code) {
    highlighting ??= Promise.all([import("./highlight.js"), loadStyle("highlight.css")]);
    try {
      const [{ highlighted }] = await highlighting;
      await this.#colour(code, highlighted);
    } catch {
      highlighting = null; // Code without colours can be read; the next one tries again.
    }
  }

  async #colour(code, highlighted) {
    const text = code.textContent;
    const language = code.className.replace("language-", "");
    const coloured = document.createDocumentFragment();
    for (const piece of pieces(text)) {
      const markup = this.#timed(() => highlighted(piece, language));
      coloured.append(markup === null ? piece : safeColours(markup));
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (code.textContent === text) code.replaceChildren(coloured);
  }

  #timed(act) {
    if (this.#left <= 0) return null;
    const began = performance.now();
    const result = act();
    const took = performance.now() - began;
    this.#left = took > MOST_OF_A_PIECE ? 0 : this.#left - took;
    return result;
  }
}
