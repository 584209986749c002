// Bundles the page: node build.mjs OUT, where OUT has what wasm-bindgen wrote in a folder `bound`.
import { build } from "esbuild";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const out = process.argv[2];
if (!out) throw new Error("usage: node build.mjs OUT");
await build({
  entryPoints: ["src/main.ts", "src/worker.ts"],
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  loader: { ".yaml": "text" },
  alias: { "playground-wasm": resolve(out, "bound/playground.js") },
  logLevel: "warning",
});
await copyFile(join(out, "bound/playground_bg.wasm"), join(out, "playground.wasm"));
for (const name of ["index.html", "style.css"]) await writeFile(join(out, name), await readFile(name));
