// What markup may come into the page: all of it goes through DOMPurify.
import DOMPurify from "dompurify";

const ANSWER = {
  ALLOWED_TAGS: [
    ..."a blockquote br code del em h3 h4 h5 h6 hr li ol p pre strong".split(" "),
    ..."table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "start", "align", "class"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const LANGUAGE = /^language-[\w+#.-]{1,40}$/;
const COLOUR = /^hljs-[a-z_-]{1,40}( [a-z]{1,40}_)?$/;
const COLOURS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A" && node.hasAttribute("href")) {
    node.setAttribute("rel", "noopener noreferrer nofollow");
    node.setAttribute("target", "_blank");
    node.setAttribute("title", node.getAttribute("href"));
  }
  // A class is a fence's language or a word's colour: none of ours can be borrowed.
  const allowed = node.nodeName === "SPAN" ? COLOUR : LANGUAGE;
  if (node.hasAttribute?.("class") && !allowed.test(node.className)) node.removeAttribute("class");
});

/** @returns {DocumentFragment} what is left of an answer's markup */
export function safeAnswer(markup) {
  return purify.sanitize(markup, ANSWER);
}

/** @returns {DocumentFragment} what is left of the markup of code in colours */
export function safeColours(markup) {
  return purify.sanitize(markup, COLOURS);
}
