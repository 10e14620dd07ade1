// What a screen reader hears of answers that come.
import { useEffect, useRef } from "preact/hooks";

import { html } from "../html.js";
import { Announcer } from "./announcer.js";
import { coming } from "./conversation.js";

let announcer = null;

export function Spoken() {
  const region = useRef(null);
  const answers = coming.value;
  useEffect(() => {
    announcer = new Announcer(region.current);
  }, []);
  useEffect(() => follow(answers), [answers]);
  return html`<div class="unseen" role="status" aria-live="polite" id="spoken" ref=${region}></div>`;
}

export function say(text) {
  const region = document.getElementById("spoken");
  if (region) region.textContent = text;
}

/** One answer is read out as it comes; of two, how each ended. */
function follow(answers) {
  if (answers.length === 0) return undefined;
  announcer.begin(performance.now());
  const [answer] = answers;
  const stopListening =
    answers.length === 1 &&
    answer.drawn.subscribe(() => {
      if (answer.reasoning && !answer.text) announcer.think();
      announcer.grow(answer.text, performance.now());
    });
  return () => {
    if (!stopListening) return say(answers.map((each) => `${each.model}: ${ending(each)}`).join(" "));
    stopListening();
    announcer.end(answer.text, ending(answer));
  };
}

function ending(answer) {
  if (answer.error) return `The answer failed. ${answer.error.kind}. ${answer.error.message}`;
  if (answer.end !== "done") return answer.note;
  const calls = answer.calls.map(({ name }) => name).join(", ");
  if (calls) return `The model calls ${calls}.`;
  return answer.refusal ? `The model refused. ${answer.refusal}` : "The answer is complete.";
}
