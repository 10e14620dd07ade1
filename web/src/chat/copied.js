// Buttons that copy, and say for a moment whether they did.
import { copy } from "../clipboard.js";
import { say } from "./spoken.js";

export async function copied(button, text) {
  const label = button.querySelector("span") ?? button;
  const before = label.dataset.label ?? label.textContent;
  label.dataset.label = before;
  label.textContent = (await copy(text)) ? "Copied" : "Not copied";
  say(label.textContent);
  setTimeout(() => (label.textContent = before), 1500);
}

/** The copy buttons of code are markup of an answer: they are heard of by what is around them. */
export function copyCode(event) {
  const button = event.target.closest?.("[data-copy=code]");
  if (button)
    copied(button, button.closest(".code").querySelector("code").textContent.replace(/\n$/, ""));
}
