// A conversation's turns as a tree: a question that was edited, or asked again, has another branch
// beside the one before, and nothing is replaced.

/** What stands in for the turn before the first one. */
export const ROOT = 0;

/**
 * @typedef {object} Step one place of the conversation as it is shown
 * @property {object} turn the turn that what comes next goes on from
 * @property {object[]} group it, and the answers of other models to the same question beside it
 * @property {object[][]} groups all groups at this place, `group` among them
 * @property {number} at which of them it is
 */

/**
 * The steps from the first question to the newest turn that is shown.
 *
 * @param {object[]} turns each with its `id` and its `parent`'s; answers that were asked for at
 * once have the same `round`
 * @param {Record<number, number>} chosen of a turn's id, that of the turn shown after it; the
 * newest where there is none @returns {Step[]}
 */
export function stepsOf(turns, chosen) {
  const following = grouped(turns, (turn) => turn.parent);
  const steps = [];
  let id = ROOT;
  while (following.has(id)) {
    const rounds = grouped(following.get(id), (turn) => turn.round ?? turn.id);
    const step = stepAt([...rounds.values()], chosen[id]);
    steps.push(step);
    id = step.turn.id;
  }
  return steps;
}

function stepAt(groups, chosen) {
  const found = groups.findIndex((group) => group.some((turn) => turn.id === chosen));
  const at = found < 0 ? groups.length - 1 : found;
  const turn = groups[at].find((each) => each.id === chosen) ?? groups[at][0];
  return { turn, group: groups[at], groups, at };
}

function grouped(turns, keyOf) {
  const groups = new Map();
  for (const turn of turns) {
    const key = keyOf(turn);
    if (groups.has(key)) groups.get(key).push(turn);
    else groups.set(key, [turn]);
  }
  return groups;
}
