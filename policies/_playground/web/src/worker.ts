/** Evaluates texts in a worker, so that no text can block the page. */

import { initSync, evaluate } from "playground-wasm";

export interface Question {
  number: number;
  text: string;
  options: string;
}

export type Answer = { number: number; report: string; took: number } | { number: number; failed: string };

self.addEventListener("message", ({ data }: MessageEvent<WebAssembly.Module | Question>) => {
  if (data instanceof WebAssembly.Module) {
    initSync({ module: data });
    return;
  }
  const { number, text, options } = data;
  const begun = performance.now();
  let answer: Answer;
  try {
    const report = evaluate(text, options);
    answer = { number, report, took: performance.now() - begun };
  } catch (error) {
    answer = { number, failed: String(error) };
  }
  self.postMessage(answer);
});
