// Chat: the conversations beside, the one that is open, and below it the box to write in.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { html } from "../html.js";
import { icons } from "../icons.js";
import { Aside } from "./aside.js";
import { Composer } from "./composer.js";
import { copied, copyCode } from "./copied.js";
import { coming, current, deleted, missing, restore, steps } from "./conversation.js";
import { Spoken } from "./spoken.js";
import { Strip } from "./strip.js";
import { Turns } from "./turns.js";

const NEAR = 80; // pixels from the end within which the page goes along with the answer

export function Chat() {
  const scroller = useRef(null);
  const behind = useRef(signal(false)).current;
  useFollowing(scroller, behind);
  const broad = steps.value.some(({ group }) => group.length > 1);
  return html`<div class="beside-each-other">
    <${Aside} />
    <main class="chat" id="main">
      <${Strip} />
      <div class="scroll" ref=${scroller} onClick=${copyCode}>
        <div class=${broad ? "column broad" : "column"} key=${current.value.id}>
          ${steps.value.length ? html`<${Turns} />` : html`<${Welcome} />`}
        </div>
      </div>
      <div class="column dock">
        ${behind.value && html`<button class="jump" type="button" onClick=${() => toEnd(scroller.current)}>${icons.down} Newest</button>`}
        <${Notices} />
        <${Composer} />
      </div>
      <${Spoken} />
    </main>
  </div>`;
}

function Welcome() {
  const address = `${location.origin}/v1`;
  return html`<section class="welcome">
    <h2>Ask a site something</h2>
    <p>Pick a site and a model below and write. Any OpenAI client can ask the same, at this base URL:</p>
    <p class="address"><code>${address}</code>
      <button class="quiet" type="button" onClick=${(event) => copied(event.currentTarget, address)}>${icons.copy}<span>Copy</span></button>
    </p>
    <p class="faint">Conversations stay in this browser until you delete them; each question goes to the site you picked, with the turns before it.</p>
  </section>`;
}

const UNKEPT = {
  full: "This browser has no room left for this page (most give it 5 MB): what is new here is not kept. Export or delete conversations to make room.",
  closed: "This browser keeps nothing for this page: the conversation ends with it.",
};

function Notices() {
  const number = deleted.value.length;
  if (number > 0) {
    return html`<p class="notice" role="status">${number === 1 ? "The conversation is deleted." : `${number} conversations are deleted.`}
      <button class="quiet" type="button" onClick=${restore}>Undo</button></p>`;
  }
  const unkept = current.value.unkept.value;
  if (unkept) return html`<p class="notice" role="status">${UNKEPT[unkept]}</p>`;
  if (missing.value)
    return html`<p class="notice" role="status">This browser does not keep the conversation of this address.</p>`;
  return null;
}

// -- following ------------------------------------------------------------------------------------

function useFollowing(scroller, behind) {
  const following = useRef(true);
  const { id } = current.value;
  useEffect(() => {
    const element = scroller.current;
    const scrolled = () => {
      following.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
      behind.value = !following.current;
    };
    // Answers grow, pictures of code are drawn late, the window is turned: each changes the
    // column's height.
    const grown = new ResizeObserver(() => following.current && toEnd(element));
    grown.observe(element);
    grown.observe(element.firstElementChild);
    element.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      grown.disconnect();
      element.removeEventListener("scroll", scrolled);
    };
  }, [id]);
  const begun = coming.value[0]?.id;
  useLayoutEffect(() => toEnd(scroller.current), [id]);
  useLayoutEffect(() => void (begun && toEnd(scroller.current)), [begun]);
}

function toEnd(element) {
  element.scrollTop = element.scrollHeight;
}
