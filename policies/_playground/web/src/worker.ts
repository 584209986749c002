/** Judges texts beside the page, so that no text can hold it up. */

import { initSync, judge } from "playground-wasm";

export interface Question {
  number: number;
  text: string;
  asked: string;
}

export type Answer = { number: number; said: string; took: number } | { number: number; failed: string };

self.addEventListener("message", ({ data }: MessageEvent<WebAssembly.Module | Question>) => {
  if (data instanceof WebAssembly.Module) {
    initSync({ module: data });
    return;
  }
  const { number, text, asked } = data;
  const begun = performance.now();
  let answer: Answer;
  try {
    const said = judge(text, asked);
    answer = { number, said, took: performance.now() - begun };
  } catch (error) {
    answer = { number, failed: String(error) };
  }
  self.postMessage(answer);
});
