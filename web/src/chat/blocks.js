// The blocks of an answer that grows: paragraphs, lists, code. Only the end, which may still
// change, is read anew.
import { Marked } from "marked";

/**
 * Blocks at the end that what comes next may still become a part of: a list goes on, an underline
 * makes a heading.
 */
const UNSETTLED = 2;

export const marked = new Marked({ gfm: true, breaks: true });

export class Blocks {
  #settled = []; // tokens that nothing can change any more
  #length = 0; // of their text

  /**
   * @param {string} text all of the answer that there is @returns {object[]} its tokens, spaces and
   * definitions included
   */
  grow(text) {
    const lines = text.replace(/\r\n?/g, "\n");
    const tokens = marked.lexer(lines.slice(this.#length));
    const all = [...this.#settled, ...tokens];
    this.#settle(tokens, lines.length - this.#length);
    return all;
  }

  /**
   * The same for an answer that is whole: now a link may have its target from a definition far
   * below it.
   */
  static whole(text) {
    return marked.lexer(text);
  }

  #settle(tokens, length) {
    const total = tokens.reduce((sum, token) => sum + token.raw.length, 0);
    if (total !== length) return; // not every character is accounted for: read it all again
    const blocks = tokens.flatMap((token, at) => (token.type === "space" ? [] : [at]));
    const settled = tokens.slice(0, blocks.at(-UNSETTLED) ?? 0);
    this.#settled.push(...settled);
    this.#length += settled.reduce((sum, token) => sum + token.raw.length, 0);
  }
}
