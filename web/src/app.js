// The page: a bar, and below it Chat or Live, as the address says.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { addressOf, place } from "./address.js";
import { current } from "./chat/conversation.js";
import { loadModels, lookAgain } from "./chat/models.js";
import { Chat } from "./chat/view.js";
import { html } from "./html.js";
import { icons } from "./icons.js";
import { KeyEntry } from "./key-entry.js";
import { asking, forget, key, refused, wanted } from "./key.js";
import { loadStyle, whyUnloaded } from "./parts.js";
import { nextTheme, theme } from "./theme.js";

/** Live, once it is loaded: the plots are not for those who only chat. */
const Live = signal(null);
/** Why it could not be loaded, or null. */
const unloaded = signal(null);

export function App() {
  useEffect(() => {
    loadModels();
    document.addEventListener("visibilitychange", lookAgain);
  }, []);
  const live = place.value.view === "live";
  const { id, turns, title } = current.value;
  const name = live ? "Live" : title.value || "Chat";
  useEffect(() => {
    document.title = `${name} – Tailrace`;
  }, [name]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="bar">
      <h1>${icons.mark}<span>Tailrace</span></h1>
      <nav aria-label="Views">
        <a href=${addressOf(turns.value.length ? id : null)} aria-current=${live ? undefined : "page"}>Chat</a>
        <a href="#live" aria-current=${live ? "page" : undefined}>Live</a>
      </nav>
      <span class="gap"></span>
      ${wanted.value && html`<button class="quiet" type="button" onClick=${() => (asking.value = true)}>${icons.key}<span>Enter key</span></button>`}
      ${key.value && !wanted.value && html`<button class="quiet" type="button" onClick=${leave} title="Forget the key of this tab">${icons.key}<span class="wide-only">Forget key</span></button>`}
      <button class="quiet square" type="button" onClick=${nextTheme} aria-label=${`Theme: ${theme.value}`} title=${`Theme: ${theme.value}`}>${icons[theme.value]}</button>
    </header>
    ${live ? html`<${Loaded} />` : html`<${Chat} />`}
    <${KeyEntry} />
  `;
}

function Loaded() {
  useEffect(() => void (Live.value ?? load()), []);
  if (Live.value) return html`<${Live.value} />`;
  return html`<main class="live" id="main"><div class="wide">
    <p role="status">${unloaded.value ?? "Loading …"}</p>
    ${unloaded.value && html`<p><button class="main" type="button" onClick=${() => location.reload()}>Load the page again</button></p>`}
  </div></main>`;
}

async function load() {
  try {
    const [{ Live: view }] = await Promise.all([import("./live/view.js"), loadStyle("live.css")]);
    Live.value = view;
  } catch (error) {
    unloaded.value = await whyUnloaded("Live", "live.js", error);
  }
}

function skip(event) {
  event.preventDefault();
  document.querySelector("#message, .live [tabindex]")?.focus();
}

function leave() {
  forget();
  refused();
}
