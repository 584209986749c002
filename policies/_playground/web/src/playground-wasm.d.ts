/** What wasm-bindgen writes beside the Wasm. */
declare module "playground-wasm" {
  export function initSync(options: { module: WebAssembly.Module }): unknown;
  /** What the policies say of a text; in and out are JSON of shapes.ts. */
  export function evaluate(text: string, options: string): string;
}

declare module "*.yaml" {
  const text: string;
  export default text;
}

/** worker.ts, bundled, as text. */
declare module "worker-code" {
  const code: string;
  export default code;
}
