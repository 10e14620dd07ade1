// An answer in, safe markup for it out. The text is a stranger's: markup in it is shown and not
// obeyed, links open in a window of their own and know nothing of this one, images are links, and
// what is left goes through DOMPurify.
import { Blocks, marked } from "./blocks.js";
import { Colours } from "./colours.js";
import { safeAnswer } from "./safe.js";

/**
 * Longer answers are shown as plain text: reading them as Markdown anew with each delta would hold
 * up the page.
 */
export const MAX_MARKDOWN_CHARACTERS = 200_000;

marked.use({
  renderer: {
    html: ({ text, block }) =>
      block ? `<p>${escaped(text.trim()).replaceAll("\n", "<br>")}</p>` : escaped(text),
    // The page's own headings stand above those of an answer.
    heading({ tokens, depth }) {
      const name = `h${Math.min(6, depth + 2)}`;
      return `<${name}>${this.parser.parseInline(tokens)}</${name}>`;
    },
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || "image")}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

/**
 * One answer in `element`, which is this object's alone. Blocks that have not changed stay as they
 * are, focus included.
 */
export class Picture {
  #element;
  #blocks = new Blocks();
  #colours = new Colours();
  #shown = [];

  constructor(element) {
    this.#element = element;
  }

  /**
   * @param {string} text all of the answer that there is @param {boolean} whole whether nothing
   * more will come
   */
  show(text, whole) {
    if (text.length > MAX_MARKDOWN_CHARACTERS) return this.#showPlain(text);
    try {
      if (whole) this.#showWhole(Blocks.whole(text));
      else this.#showBlocks(this.#blocks.grow(text));
      this.#colour(whole ? this.#shown.length : this.#shown.length - 1);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#showPlain(text); // nested deeper than anybody's stack
    }
  }

  #showPlain(text) {
    this.#cut(0);
    this.#element.classList.add("plain");
    this.#element.textContent = text;
  }

  #showWhole(tokens) {
    // Links that are defined elsewhere in the answer have their targets only now.
    if (Object.keys(tokens.links).length) this.#cut(0);
    this.#showBlocks(tokens);
  }

  #showBlocks(all) {
    const tokens = all.filter((token) => token.type !== "space" && token.type !== "def");
    let same = 0;
    while (same < this.#shown.length && this.#shown[same].raw === tokens[same]?.raw) same += 1;
    if (this.#continues(same, tokens)) same += 1;
    this.#cut(same);
    for (const token of tokens.slice(same)) {
      const node = block(token);
      this.#element.append(node);
      const { raw, type, lang } = token;
      this.#shown.push({ raw, type, lang, node, coloured: false });
    }
  }

  /** The code of the first blocks; the last one grows, and would be coloured anew each time. */
  #colour(length) {
    for (const shown of this.#shown.slice(0, Math.max(0, length))) {
      if (shown.coloured) continue;
      shown.coloured = true;
      for (const code of shown.node.querySelectorAll("pre code[class]")) this.#colours.add(code);
    }
  }

  /** A code block that only grew is given its text, so that its copy button keeps the focus. */
  #continues(at, tokens) {
    const [old, token] = [this.#shown[at], tokens[at]];
    if (old?.type !== "code" || token?.type !== "code" || old.lang !== token.lang) return false;
    old.node.querySelector("code").textContent = token.text;
    Object.assign(old, { raw: token.raw, coloured: false });
    return true;
  }

  #cut(length) {
    for (const { node } of this.#shown.splice(length)) node.remove();
    if (this.#element.classList.contains("plain")) this.#element.replaceChildren();
    this.#element.classList.remove("plain");
  }
}

function block(token) {
  const node = document.createElement("div");
  node.className = "block";
  node.dir = "auto"; // each block is read in the direction of its own script
  node.append(safeAnswer(marked.parser([token])));
  for (const item of node.querySelectorAll("li"))
    if (/^[☑☐] /.test(item.textContent)) item.className = "task";
  for (const table of node.querySelectorAll("table")) wrapped(table, "sideways");
  for (const pre of node.querySelectorAll("pre")) head(wrapped(pre, "code"), pre);
  return node;
}

/** What is wide scrolls by itself, by keyboard too. */
function wrapped(node, name) {
  const frame = document.createElement("div");
  frame.className = name;
  node.replaceWith(frame);
  frame.append(node);
  const scroller = name === "code" ? node : frame;
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "group");
  scroller.setAttribute("aria-label", name === "code" ? "Code" : "Table");
  return frame;
}

function head(frame, pre) {
  const bar = document.createElement("div");
  bar.className = "code-bar";
  const language = document.createElement("span");
  language.textContent = pre.querySelector("code")?.className.replace("language-", "") || "text";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.dataset.copy = "code";
  button.textContent = "Copy code";
  bar.append(language, button);
  frame.prepend(bar);
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
