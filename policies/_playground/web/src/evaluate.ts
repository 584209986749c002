/**
 * Evaluates texts: small changes in the page itself, so that the verdict appears with the typed character, and everything that
 * may take longer in a worker, so that it cannot block the page.
 *
 * A browser processes a worker's message only after it has drawn the next frame, so evaluation in the page is faster.
 */

import { initSync, evaluate } from "playground-wasm";
import workerCode from "worker-code";

import type { Options, PlaygroundReport } from "./shapes";
import type { Answer, Question } from "./worker";

/** The timeout for an answer, in milliseconds. */
const PATIENCE = 10_000;
/** Limits for evaluation in the page: the time of the last evaluation in milliseconds, … */
const QUICK = 8;
/** … the size of the text, and the size of the difference to the last text, in UTF-16 code units. */
const MOST = 32 * 1024;
const TYPED = 20;

/** The length of the part in which two texts differ. */
function difference(one: string, other: string): number {
  const most = Math.min(one.length, other.length);
  let before = 0;
  while (before < most && one.charCodeAt(before) === other.charCodeAt(before)) before++;
  let after = 0;
  while (after < most - before && one.charCodeAt(one.length - 1 - after) === other.charCodeAt(other.length - 1 - after)) after++;
  return Math.max(one.length, other.length) - before - after;
}

/** Whether a text may have YAML aliases, which could expand it to a thousand times its size. */
function couldExplode(text: string): boolean {
  return text.includes("*");
}

export interface Hearers {
  /** Receives the report on the current text, and the number of the question. */
  report(report: PlaygroundReport, number: number): void;
  /** Receives the reason why the text could not be evaluated, and the number of the question. */
  failed(reason: string, number: number): void;
  /** Called if the answer takes noticeably long. */
  waiting(): void;
}

export class Evaluator {
  private worker: Worker | undefined;
  private number = 0;
  private asking: Question | undefined;
  private next: Question | undefined;
  private timers: ReturnType<typeof setTimeout>[] = [];
  /** The last evaluation: its input, and how long it took. */
  private last = { text: "", options: "", took: Infinity };
  private isUsable = true;

  constructor(
    private readonly module: WebAssembly.Module,
    private readonly hearers: Hearers,
  ) {
    initSync({ module });
  }

  /** Starts to evaluate a text and returns the number of the question. Answers to earlier questions are dropped. */
  ask(text: string, options: Options): number {
    const question = { number: ++this.number, text, options: JSON.stringify(options) };
    const isQuick = this.last.took <= QUICK && text.length <= MOST && question.options === this.last.options && !couldExplode(text);
    if (this.isUsable && this.asking === undefined && isQuick && difference(text, this.last.text) <= TYPED) {
      this.evaluate(question);
    } else {
      this.next = question;
      if (this.asking === undefined) this.send();
    }
    return this.number;
  }

  private evaluate(question: Question): void {
    const begun = performance.now();
    let report: string;
    try {
      report = evaluate(question.text, question.options);
    } catch {
      // The module cannot be used after a failure. The worker reports the reason.
      this.isUsable = false;
      this.next = question;
      return this.send();
    }
    this.note(question, performance.now() - begun);
    this.hearers.report(JSON.parse(report) as PlaygroundReport, question.number);
  }

  private send(): void {
    const question = this.next;
    if (!question) return;
    this.next = undefined;
    this.asking = question;
    this.worker ??= this.start();
    this.worker.postMessage(question);
    this.timers = [
      setTimeout(() => this.hearers.waiting(), 300),
      setTimeout(() => this.give(`no verdict within ${PATIENCE / 1000} seconds: use pratique check for large manifest sets`), PATIENCE),
    ];
  }

  private start(): Worker {
    // A worker from a blob inherits the page's Content-Security-Policy, whatever headers the server sends.
    const url = URL.createObjectURL(new Blob([workerCode], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    worker.postMessage(this.module);
    worker.addEventListener("message", (event: MessageEvent<Answer>) => this.hear(event.data));
    worker.addEventListener("error", (event) => this.give(event.message || "the evaluation worker does not start"));
    return worker;
  }

  private hear(answer: Answer): void {
    const question = this.asking;
    if (answer.number !== question?.number) return;
    if ("failed" in answer) return this.give(`a bug in pratique: evaluation failed (${answer.failed})`);
    this.settle();
    this.note(question, answer.took);
    // If the text has changed meanwhile, evaluate it instead, because locations have moved.
    if (!this.next) this.hearers.report(JSON.parse(answer.report) as PlaygroundReport, answer.number);
    this.send();
  }

  /** Cancels the current question and discards the worker, which hangs or has failed. */
  private give(reason: string): void {
    this.worker?.terminate();
    this.worker = undefined;
    const number = this.asking?.number ?? this.number;
    this.last = { text: "", options: "", took: Infinity };
    this.settle();
    if (!this.next) this.hearers.failed(reason, number);
    this.send();
  }

  private note({ text, options }: Question, took: number): void {
    this.last = { text, options, took };
  }

  private settle(): void {
    this.asking = undefined;
    for (const timer of this.timers) clearTimeout(timer);
  }
}
