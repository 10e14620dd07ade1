// Long code in pieces, cut where it hurts its colours least.

export const MOST_CHARACTERS = 3000;

/** @param {string} text @returns {string[]} at blank lines, else at lines, else anywhere */
export function pieces(text) {
  const found = [];
  let rest = text;
  while (rest.length > MOST_CHARACTERS) {
    const end = cutOf(rest.slice(0, MOST_CHARACTERS));
    found.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  return rest ? [...found, rest] : found;
}

function cutOf(text) {
  const blank = text.lastIndexOf("\n\n") + 2;
  if (blank > text.length / 2) return blank;
  const line = text.lastIndexOf("\n") + 1;
  if (line > 0) return line;
  return isHalf(text.at(-1)) ? text.length - 1 : text.length;
}

/** The first half of a character of two. */
function isHalf(unit) {
  return unit >= "\ud800" && unit <= "\udbff";
}
