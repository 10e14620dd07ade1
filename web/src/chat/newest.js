// How much of a conversation the browser keeps.

export const KEPT_TURNS = 200;
export const KEPT_CHARACTERS = 1_000_000;

/** The newest turns that fit, from a question on; never half a turn. */
export function newest(all) {
  let characters = 0;
  const first = all.findLastIndex((turn, at) => {
    characters += turn.text.length;
    return characters > KEPT_CHARACTERS || all.length - at > KEPT_TURNS;
  });
  const asked = all.findIndex((turn, at) => at > first && turn.role === "user");
  return asked < 0 ? [] : all.slice(asked);
}
