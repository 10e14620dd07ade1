// Which of several branches is shown, and the way to the others.
import { html } from "../html.js";
import { icons } from "../icons.js";
import { coming, turnTo } from "./conversation.js";
import { focusLater } from "./focus.js";

/** `of`: "question" or "answer". */
export function Branches({ step, of }) {
  const number = step.groups.length;
  if (number < 2) return null;
  const busy = coming.value.length > 0;
  const turn = (by, name, icon) => {
    const id = `branch-${step.turn.parent}-${name}`;
    const turned = () => (turnTo(step, by), focusLater(id));
    return html`<button class="quiet square" id=${id} type="button" disabled=${busy} aria-label=${`${name} ${of}`} onClick=${turned}>${icon}</button>`;
  };
  return html`<span class="branches" role="group" aria-label=${`Versions of the ${of}`}>
    ${turn(-1, "Earlier", icons.previous)}
    <span class="faint">${step.at + 1} of ${number}</span>
    ${turn(1, "Later", icons.next)}
  </span>`;
}
