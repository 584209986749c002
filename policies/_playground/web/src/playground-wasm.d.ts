/** The JavaScript bindings that wasm-bindgen generates. */
declare module "playground-wasm" {
  export function initSync(options: { module: WebAssembly.Module }): unknown;
  /** Evaluates a text. `options` and the returned report are JSON, with the types in shapes.ts. */
  export function evaluate(text: string, options: string): string;
}

declare module "*.yaml" {
  const text: string;
  export default text;
}

/** The bundled worker.ts, as text. */
declare module "worker-code" {
  const code: string;
  export default code;
}
