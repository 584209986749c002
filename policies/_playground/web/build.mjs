// Bundles the page: node build.mjs OUT, where OUT/bound contains the output of wasm-bindgen.
import { build } from "esbuild";
import { copyFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const out = process.argv[2];
if (!out) throw new Error("usage: node build.mjs OUT");
const options = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2023",
  legalComments: "none",
  loader: { ".yaml": "text" },
  alias: { "playground-wasm": resolve(out, "bound/playground.js") },
  logLevel: "warning",
};
const worker = await build({ ...options, entryPoints: ["src/worker.ts"], write: false });
/** Embeds the bundled worker in the page as text. */
const workerCode = {
  name: "worker-code",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^worker-code$/ }, ({ path }) => ({ path, namespace: "worker-code" }));
    onLoad({ filter: /.*/, namespace: "worker-code" }, () => ({ contents: worker.outputFiles[0].text, loader: "text" }));
  },
};
await build({ ...options, entryPoints: ["src/main.ts"], outdir: out, plugins: [workerCode] });
await copyFile(join(out, "bound/playground_bg.wasm"), join(out, "playground.wasm"));
for (const name of ["index.html", "style.css"]) await copyFile(name, join(out, name));
