// Live: what the gateway is doing now, and how its sites are.
import { useEffect } from "preact/hooks";

import { html } from "../html.js";
import { ago, count, rate, seconds } from "../words.js";
import { failure, now, state, watch } from "./feed.js";
import { Plot } from "./plot.js";

const PERCENTILES = (name) =>
  [50, 95, 99].map((share) => ({ name: `${name}${share}`, label: `p${share}` }));
const FIRST = PERCENTILES("first");
const GAP = PERCENTILES("gap");
const OPEN = [{ name: "open", label: "open" }];
const RATE = [{ name: "rate", label: "a second" }];

export function Live() {
  useEffect(watch, []);
  const record = now.value;
  return html`<main class="live scroll" id="main"><div class="wide">
    <${State} />
    <${Tiles} record=${record} />
    <div class="plots">
      <${Plot} title="Open streams" lines=${OPEN} words=${whole} />
      <${Plot} title="Deltas a second" lines=${RATE} words=${rate} />
      <${Plot} title="Time to first delta" lines=${FIRST} words=${seconds} />
      <${Plot} title="Gap between deltas" lines=${GAP} words=${seconds} />
    </div>
    <${Sites} record=${record} />
    <${Errors} record=${record} />
  </div></main>`;
}

/** Half a stream is a line of the plot's grid, and no figure. */
function whole(value) {
  return Number.isInteger(value) || value > 10 ? count(value) : "";
}

function State() {
  const text = {
    open: "Live, one record a second",
    connecting: now.value ? "Connecting again …" : "Connecting …",
    waiting: `${failure.value?.message ?? "The gateway closed the connection."} Trying again soon.`,
    paused: "Paused while nobody looks",
  }[state.value];
  return html`<p class="state" role="status" data-state=${state.value}><i class="dot"></i>${text}</p>`;
}

function Tiles({ record }) {
  const errors = record && total(record.errors);
  const tiles = [
    ["Open streams", count(record?.open_streams), record && `${count(record.streams)} so far`],
    [
      "Deltas a second",
      rate(record?.deltas_per_second),
      record && `${count(record.deltas)} so far`,
    ],
    [
      "Time to first delta",
      seconds(record?.first_delta?.p50),
      record && `p95 ${seconds(record.first_delta?.p95)}`,
    ],
    ["Gap between deltas", seconds(record?.gap?.p50), record && `p95 ${seconds(record.gap?.p95)}`],
    ["Errors", count(errors), errors ? worst(record.errors) : record && "none so far"],
  ];
  return html`<dl class="tiles">
    ${tiles.map(
      ([title, value, below]) => html`<div class="tile" key=${title}>
      <dt>${title}</dt><dd>${value}</dd><dd class="faint">${below || "\u00a0"}</dd>
    </div>`,
    )}
  </dl>`;
}

function total(errors) {
  return Object.values(errors).reduce((sum, each) => sum + each, 0);
}

function kinds(errors) {
  return Object.entries(errors)
    .map(([kind, number]) => `${kind}: ${number}`)
    .join(", ");
}

function worst(errors) {
  const [kind] = Object.entries(errors).reduce((most, each) => (each[1] > most[1] ? each : most));
  return `mostly ${kind}`;
}

function Errors({ record }) {
  const errors = Object.entries(record?.errors ?? {}).sort((a, b) => b[1] - a[1]);
  return html`<section class="card"><h2>Errors by kind</h2>
    ${
      errors.length === 0
        ? html`<p class="faint">None so far.</p>`
        : html`<table><thead><tr><th scope="col">Kind</th><th scope="col" class="number">Count</th><th scope="col" class="share"><span class="unseen">Share</span></th></tr></thead>
        <tbody>${errors.map(
          ([kind, number]) => html`<tr key=${kind}>
          <th scope="row">${kind}</th><td class="number">${count(number)}</td>
          <td class="share"><meter min="0" max=${errors[0][1]} value=${number} aria-hidden="true"></meter></td>
        </tr>`,
        )}</tbody></table>`
    }
  </section>`;
}

function Sites({ record }) {
  return html`<section class="card"><h2>Sites</h2>
    <div class="sideways" tabindex="0" role="group" aria-label="Sites"><table>
      <thead><tr><th scope="col">Site</th><th scope="col" class="number">Open</th><th scope="col" class="number">Streams</th>
        <th scope="col" class="number">Errors</th><th scope="col">The doctor’s last verdict</th></tr></thead>
      <tbody>${(record?.sites ?? []).map((site) => html`<${Site} key=${site.name} site=${site} at=${record.at} />`)}</tbody>
    </table></div>
  </section>`;
}

function Site({ site, at }) {
  return html`<tr>
    <th scope="row">${site.name}</th>
    <td class="number">${count(site.open)}</td><td class="number">${count(site.streams)}</td>
    <td class="number" title=${kinds(site.errors)}>${count(total(site.errors))}</td>
    <td><${Verdict} verdict=${site.verdict} at=${at} name=${site.name} /></td>
  </tr>`;
}

function Verdict({ verdict, at, name }) {
  if (!verdict)
    return html`<span class="faint">not examined yet: <code>tailrace doctor ${name}</code></span>`;
  const works = verdict.failed === null;
  return html`<span class=${works ? "verdict works" : "verdict fails"}>${works ? "works" : `fails at ${verdict.failed}`}</span>
    <span class="faint">${ago(verdict.at, at)}</span>`;
}
