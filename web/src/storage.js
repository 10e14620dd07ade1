// What the browser keeps between two visits, as JSON under one name each. It may be closed to us,
// full, or not ours.

export function load(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

/** @returns {null | "full" | "closed"} why it could not be kept; null where it is */
export function save(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
    return null;
  } catch (error) {
    return error.name === "QuotaExceededError" ? "full" : "closed";
  }
}

/** @returns {string[]} what follows `prefix` in the names that begin with it */
export function namesAfter(prefix) {
  try {
    const names = Object.keys(localStorage).filter((name) => name.startsWith(prefix));
    return names.map((name) => name.slice(prefix.length));
  } catch {
    return [];
  }
}
