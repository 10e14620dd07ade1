// An answer that grows, cut anywhere, has the same blocks as the whole of it read at once.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Blocks, marked } from "../src/chat/blocks.js";

const PIECES = [
  "A paragraph.\n\n",
  "Two lines\nof one.\n\n",
  "# A heading\n",
  "Underlined\n===\n\n",
  "- one\n- two\n",
  "- one\n\n  still one\n\n- two\n\n",
  "1. first\n   - inner\n\n     deep\n2. second\n\n",
  "```js\nlet a = 1;\n\n# no heading\n```\n",
  "~~~\nunclosed\n\n",
  "    indented\n\n    code\n\n",
  "> quoted\nlazily\n\n> > more\n\n",
  "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
  "<div>\nmarkup\n\n</div>\n\n",
  "---\n",
  "***bold** and* `code`\n\n",
  "[ref] and [link](http://a.example)\n\n",
  "[ref]: http://b.example 'title'\n",
  "\r\nCRLF\r\n\r\nends\r\n",
  "\n\n\n",
  "\ttabbed\n",
  "  \n \n",
  "text right\n- before a list\n",
  "字\u2028👩‍👩‍👧\n\n",
];

test("every answer made of three pieces, at growing lengths", () => {
  for (const first of PIECES) {
    for (const second of PIECES) {
      for (const third of ["- end\n", "    end", "===\n", "the end.", "```\nend"])
        grown(first + second + third, 3);
    }
  }
});

test("a long answer, character by character", () => grown(PIECES.join(""), 1));

test("a long answer is not read from its beginning each time", () => {
  const text = "A paragraph of some words.\n\n".repeat(2000);
  const blocks = new Blocks();
  let read = 0;
  const lexer = marked.lexer;
  marked.lexer = (part) => {
    read += part.length;
    return lexer.call(marked, part);
  };
  try {
    for (let at = 0; at <= text.length; at += 100) blocks.grow(text.slice(0, at));
  } finally {
    marked.lexer = lexer;
  }
  assert.ok(read < 4 * text.length, `${read} characters read for ${text.length}`);
});

function grown(text, step) {
  const blocks = new Blocks();
  for (let at = 0; at <= text.length + step; at += step) {
    const part = text.slice(0, at);
    assert.deepEqual(seen(blocks.grow(part)), seen(marked.lexer(part)), JSON.stringify(part));
  }
}

/**
 * What is drawn: blocks, each with its kind and its text. Where a link leads is known at the end
 * only.
 */
function seen(tokens) {
  return tokens
    .filter(({ type }) => type !== "space" && type !== "def")
    .map(({ type, raw }) => [type, raw.trim()]);
}
