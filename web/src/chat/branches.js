// Which of several branches is shown, and the way to the others.
import { html } from "../html.js";
import { icons } from "../icons.js";
import { coming, turnTo } from "./conversation.js";

/** `of`: "question" or "answer". */
export function Branches({ step, of }) {
  const number = step.groups.length;
  if (number < 2) return null;
  const busy = coming.value.length > 0;
  const turn = (by, name, icon) =>
    html`<button class="quiet square" type="button" disabled=${busy} aria-label=${`${name} ${of}`} onClick=${() => turnTo(step, by)}>${icon}</button>`;
  return html`<span class="branches" role="group" aria-label=${`Versions of the ${of}`}>
    ${turn(-1, "Earlier", icons.previous)}
    <span class="faint">${step.at + 1} of ${number}</span>
    ${turn(1, "Later", icons.next)}
  </span>`;
}
