// Builds the page: `node build.js [FOLDER]`. The same sources and lock give the same bytes.
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../python/tailrace/gateway/_web/static");

const LICENCE_FILES = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE"];

const common = {
  absWorkingDir: here,
  outdir: target,
  bundle: true,
  minify: true,
  target: ["es2022", "chrome123", "firefox128", "safari17.5"],
  legalComments: "none", // the licences stand whole in LICENSES.txt
  logLevel: "warning",
};

// Live brings the plots' library with it, and code its colours: they are loaded when they are first
// needed. The colours share nothing with the rest.
const page = await build({
  ...common,
  entryPoints: { page: "src/main.js", live: "src/live/view.js" },
  format: "esm",
  splitting: true,
  chunkNames: "common",
  external: ["./highlight.js"],
  metafile: true,
});
const colours = await build({
  ...common,
  entryPoints: { highlight: "src/chat/highlight.js" },
  format: "esm",
  metafile: true,
});
await build({
  ...common,
  entryPoints: {
    page: "src/style/all.css",
    live: "src/style/live.css",
    highlight: "src/style/highlight.css",
  },
});
await mkdir(target, { recursive: true });
for (const name of ["index.html", "icon.svg"])
  await cp(join(here, "src", name), join(target, name));
await writeFile(join(target, "LICENSES.txt"), await licences([page, colours]));

/** The licence of each package that has a file in the bundle, whole. */
async function licences(builds) {
  const inputs = builds.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  const names = inputs.map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
  const packages = [...new Set(names.filter(Boolean))].sort();
  const parts = await Promise.all(packages.map(licence));
  return [
    "page.js, live.js, live.css, highlight.js and common.js contain parts of the following packages.\n",
    ...parts,
  ].join("\n");
}

async function licence(name) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  for (const file of LICENCE_FILES) {
    const text = await readFile(join(folder, file), "utf8").catch(() => null);
    if (text !== null)
      return `${"-".repeat(80)}\n${name} ${version} (${license})\n\n${text.trim()}\n`;
  }
  throw new Error(`${name} has no licence file in ${relative(here, folder)}`);
}
