// uPlot makes a number format for the browser's language as soon as it is loaded, and fails where
// the language's name is none: under LANG=C Chromium says "en-US@posix". Imported before it.

if (!isLanguage(navigator.language))
  Object.defineProperty(navigator, "language", { value: "en", configurable: true });

function isLanguage(name) {
  try {
    return Intl.getCanonicalLocales(name).length === 1;
  } catch {
    return false;
  }
}
