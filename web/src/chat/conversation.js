// The conversation that is open: what was asked, what came, how it ended. Those that still wait for
// an answer go on while another one is open.
import { batch, computed, signal } from "@preact/signals";

import { place, rename } from "../address.js";
import { answer as ask } from "../gateway.js";
import { Answer, LEFT } from "./answer.js";
import { messagesOf } from "./messages.js";
import { choose } from "./models.js";
import { fieldsOf } from "./options.js";
import { Pace } from "./pace.js";
import { NO_OPTIONS, titleOf } from "./records.js";
import { newId, onChangesElsewhere, read, remove, versionOf, write } from "./store.js";
import { ROOT, stepsOf } from "./tree.js";

export class Conversation {
  /** @param {object | null} record as `read` gives it */
  constructor(record = null, id = newId()) {
    this.id = id;
    this.version = record ? versionOf(id) : null;
    this.created = record?.created || Date.now();
    this.changed = record?.changed || this.created;
    this.model = record?.model ?? "";
    this.title = signal(record?.title ?? "");
    this.options = signal(record?.options ?? NO_OPTIONS);
    this.turns = signal(record?.turns ?? []);
    this.chosen = signal(record?.chosen ?? {});
    /** The answers that are coming. */
    this.coming = signal([]);
    /** Why the browser could not keep it: null, "full" or "closed". */
    this.unkept = signal(null);
    this.steps = computed(() => stepsOf(this.turns.value, this.chosen.value));
    this.controller = new AbortController();
    this.isDeleted = false;
  }

  /** What it looks like in the store and in a file. */
  record() {
    const { created, changed, model } = this;
    const turns = this.turns.value.map((turn) => turn.record?.() ?? turn);
    const [title, options, chosen] = [this.title.value, this.options.value, this.chosen.value];
    return { title, created, changed, model, options, chosen, turns };
  }

  nextId() {
    return 1 + this.turns.value.reduce((most, { id }) => Math.max(most, id), ROOT);
  }
}

/** @type {import("@preact/signals").Signal<Conversation>} */
export const current = signal(new Conversation());
/** Whether the address names a conversation that this browser does not keep. */
export const missing = signal(false);
/** What was deleted last, until it is too late to have it back. */
export const deleted = signal([]);

/** Those that wait for an answer, open or not. */
const busy = new Set();

export const steps = computed(() => current.value.steps.value);
export const coming = computed(() => current.value.coming.value);

// -- asking ---------------------------------------------------------------------------------------

/** Ask a question after all that is shown. @param {string[]} models the ids of one, or of several */
export function send(text, models) {
  askAfter(steps.value.at(-1)?.turn.id ?? ROOT, { role: "user", text }, models);
}

/** Ask a question in another way: a branch beside the one before. */
export function edit(question, text, models) {
  askAfter(question.parent, { role: "user", text }, models);
}

/** Give an answer's calls their results, which its model goes on from. */
export function giveResults(answer, results) {
  askAfter(answer.id, { role: "tool", results }, [answer.model]);
}

/** Ask what was asked last again: the answers that it had stay beside the new ones. */
export function retry(models) {
  const asked = steps.value.findLast(({ turn }) => turn.role !== "assistant");
  begin(current.value, asked.turn, models);
}

export function stop() {
  current.value.controller.abort();
}

/** Show the branch `by` places further. */
export function turnTo({ groups, at, turn }, by) {
  goOnFrom(turn.parent, groups.at((at + by) % groups.length)[0].id);
}

/** Let what comes next go on from this answer, and not from the one beside it. */
export function prefer(answer) {
  goOnFrom(answer.parent, answer.id);
}

function goOnFrom(parent, id) {
  const conversation = current.value;
  conversation.chosen.value = { ...conversation.chosen.value, [parent]: id };
  keep(conversation);
}

function askAfter(parent, turn, models) {
  const conversation = current.value;
  deleted.value = [];
  const asked = { ...turn, id: conversation.nextId(), parent };
  batch(() => {
    conversation.turns.value = [...conversation.turns.value, asked];
    conversation.chosen.value = { ...conversation.chosen.value, [parent]: asked.id };
    conversation.title.value ||= titleOf(conversation.turns.value);
  });
  begin(conversation, asked, models);
}

async function begin(conversation, asked, models) {
  const answers = begun(conversation, asked, models);
  const shown = conversation.steps.value.map(({ turn }) => turn);
  const messages = messagesOf(
    shown.slice(0, shown.indexOf(asked) + 1),
    conversation.options.value.system,
  );
  busy.add(conversation);
  conversation.changed = Date.now();
  keep(conversation);
  await Promise.all(answers.map((answer) => run(conversation, answer, messages)));
  busy.delete(conversation);
  batch(() => {
    conversation.coming.value = [];
    conversation.turns.value = [...conversation.turns.value];
  });
  keep(conversation);
}

/** Answers with nothing in them yet, at their place in the conversation. */
function begun(conversation, asked, models) {
  const round = conversation.nextId();
  const answers = models.map(
    (model, at) => new Answer({ id: round + at, parent: asked.id, round, model }),
  );
  conversation.controller = new AbortController();
  conversation.model = models[0];
  batch(() => {
    conversation.turns.value = [...conversation.turns.value, ...answers];
    conversation.chosen.value = { ...conversation.chosen.value, [asked.id]: round };
    conversation.coming.value = answers;
  });
  return answers;
}

async function run({ options, controller }, answer, messages) {
  const aborted = controller.signal;
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  const pace = new Pace(
    () => (answer.drawn.value += 1),
    () => answer.cost,
  );
  try {
    const request = { ...fieldsOf(options.value), model: answer.model, messages };
    for await (const part of ask(request, aborted)) {
      answer.take(part, passed());
      pace.grown();
    }
    answer.end = "done";
  } catch (error) {
    answer.fail(error, aborted);
  }
  answer.took = passed();
  pace.ended();
}

// -- one of several -------------------------------------------------------------------------------

export function nameIt(title) {
  current.value.title.value = title.trim() || titleOf(current.value.turns.value);
  keep(current.value);
}

export function setOptions(options) {
  current.value.options.value = options;
  keep(current.value);
}

/** Take conversations that a file held; each is a new one here. @returns {number} how many fit */
export function take(records) {
  const taken = records.map((record) => new Conversation(record));
  for (const conversation of taken) keep(conversation);
  return taken.filter(({ unkept }) => unkept.value === null).length;
}

/** @param {string[]} ids */
export function removeAll(ids) {
  const removed = ids.map(opened).filter(Boolean);
  for (const conversation of removed) {
    conversation.isDeleted = true;
    conversation.controller.abort();
    remove(conversation.id);
  }
  if (removed.includes(current.value)) show(new Conversation());
  deleted.value = removed;
}

export function restore() {
  const restored = deleted.value;
  deleted.value = [];
  for (const conversation of restored) {
    conversation.isDeleted = false;
    keep(conversation);
  }
  if (restored.length === 1) show(restored[0]);
}

function show(conversation) {
  current.value = conversation;
  rename(conversation.turns.value.length ? conversation.id : null);
}

/** The conversation of that id, as it is here or in the store; null where it is in neither. */
function opened(id) {
  const here = [current.peek(), ...busy].find((each) => each.id === id);
  if (here) return here;
  const record = read(id);
  return record && new Conversation(record, id);
}

place.subscribe(({ view, id }) => {
  if (view === "chat" && id !== current.peek().id) batch(() => open(id));
});

function open(id) {
  const found = id === null ? null : opened(id);
  missing.value = id !== null && found === null;
  if (found === null && current.peek().turns.peek().length === 0) return;
  current.value = found ?? new Conversation();
  if (found?.model) choose(found.model);
}

// -- what the browser keeps -----------------------------------------------------------------------

function keep(conversation) {
  if (conversation.turns.value.length === 0 || conversation.isDeleted) return;
  // Another tab has written it since it was read here: both are kept.
  const known = versionOf(conversation.id);
  if (known !== null && known !== conversation.version) conversation.id = newId();
  const { id } = conversation;
  const version = newId();
  const failed = write(id, version, conversation.record());
  if (failed === null) conversation.version = version;
  conversation.unkept.value = failed;
  if (conversation === current.value && place.value.view === "chat") rename(id);
}

onChangesElsewhere((id) => {
  const { id: here, coming: waiting } = current.value;
  if (id !== here || waiting.value.length) return;
  const record = read(id);
  if (record) current.value = new Conversation(record, id);
});

// What has come so far is kept when the page is left in the middle of an answer.
addEventListener("pagehide", () => {
  for (const conversation of busy) {
    conversation.controller.abort(LEFT);
    keep(conversation);
  }
});
