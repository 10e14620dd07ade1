// The few pictures the page needs, drawn with the text's colour.
import { html } from "./html.js";

function icon(path) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${path} /></svg>`;
}

export const icons = {
  send: icon("M12 19V5m0 0-6 6m6-6 6 6"),
  stop: html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path class="solid" d="M7 7h10v10H7z" /></svg>`,
  retry: icon("M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6"),
  copy: icon("M9 9h10v10H9zM15 9V5H5v10h4"),
  check: icon("m5 13 4 4L19 7"),
  trash: icon("M5 7h14M10 7V5h4v2m-7 0 1 12h8l1-12"),
  plus: icon("M12 5v14M5 12h14"),
  list: icon("M4 7h16M4 12h16M4 17h16"),
  more: html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path class="solid" d="M5 11.5h1v1H5zm6.5 0h1v1h-1zm6.5 0h1v1h-1z" /></svg>`,
  options: icon("M4 8h9m5 0h2M4 16h2m5 0h9M13 8a2.5 2.5 0 1 0 5 0 2.5 2.5 0 0 0-5 0zM6 16a2.5 2.5 0 1 0 5 0 2.5 2.5 0 0 0-5 0z"),
  pencil: icon("m4 20 1-4L16 5l3 3L8 19zM14 7l3 3"),
  compare: icon("M4 5h6v14H4zM14 5h6v14h-6z"),
  tool: icon("M14.5 6.5a4 4 0 0 0-5 5L4 17l3 3 5.5-5.5a4 4 0 0 0 5-5L15 12l-3-3z"),
  previous: icon("m14 6-6 6 6 6"),
  next: icon("m10 6 6 6-6 6"),
  key: icon("M14.5 9.5 21 3m-3 3 2 2m-5.5 1.5a4.5 4.5 0 1 1-6.4 6.4 4.5 4.5 0 0 1 6.4-6.4z"),
  down: icon("M12 5v14m0 0 6-6m-6 6-6-6"),
  system: icon("M4 5h16v11H4zM9 20h6m-3-4v4"),
  light: icon(
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.4 1.4m11.2 11.2L19 19M5 19l1.4-1.4M17.6 6.4 19 5",
  ),
  dark: icon("M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"),
  mark: html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <path d="M3 9c4.3 0 4.3 4 8.7 4S16 9 20.3 9 24.7 13 29 13" />
    <path d="M3 16c4.3 0 4.3 4 8.7 4s4.3-4 8.6-4 4.4 4 8.7 4" />
    <path d="M3 23c4.3 0 4.3 4 8.7 4s4.3-4 8.6-4 4.4 4 8.7 4" />
  </svg>`,
};
