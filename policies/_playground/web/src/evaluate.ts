/**
 * Asks the policies: in the page itself as somebody types, so that the verdict is there with the letter, and in a worker where it
 * may take longer, so that nothing can hold up the page.
 *
 * A browser puts off what a worker answers to a key until it has drawn the next frame; only what is done at once is shown at once.
 */

import { initSync, evaluate } from "playground-wasm";
import workerCode from "worker-code";

import type { Options, PlaygroundReport } from "./shapes";
import type { Answer, Question } from "./worker";

/** After so long an answer is no longer waited for, in milliseconds. */
const PATIENCE = 10_000;
/** What is evaluated in the page: what took no longer the last time, in milliseconds, … */
const QUICK = 8;
/** … is no longer than this, and differs by no more than this from what was evaluated last, in UTF-16 code units. */
const MOST = 32 * 1024;
const TYPED = 20;

/** How long the part of two texts is in which they differ. */
function difference(one: string, other: string): number {
  const most = Math.min(one.length, other.length);
  let before = 0;
  while (before < most && one.charCodeAt(before) === other.charCodeAt(before)) before++;
  let after = 0;
  while (after < most - before && one.charCodeAt(one.length - 1 - after) === other.charCodeAt(other.length - 1 - after)) after++;
  return Math.max(one.length, other.length) - before - after;
}

/** Whether a text could say more than it is long: by an alias it could be a thousand times as large. */
function couldExplode(text: string): boolean {
  return text.includes("*");
}

export interface Hearers {
  /** What is report of the text as it is now, and to which question. */
  report(report: PlaygroundReport, number: number): void;
  /** That nothing can be report of it, and why. */
  failed(reason: string, number: number): void;
  /** That the answer takes so long that it shows. */
  waiting(): void;
}

export class Evaluator {
  private worker: Worker | undefined;
  private number = 0;
  private asking: Question | undefined;
  private next: Question | undefined;
  private timers: ReturnType<typeof setTimeout>[] = [];
  /** How the last text that was evaluated went. */
  private last = { text: "", options: "", took: Infinity };
  private isUsable = true;

  constructor(
    private readonly module: WebAssembly.Module,
    private readonly hearers: Hearers,
  ) {
    initSync({ module });
  }

  /** Asks about a text, and gives the question's number; whatever was options before is no longer of interest. */
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
      // What has failed is of no more use; the worker says why.
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
      setTimeout(() => this.give(`no verdict within ${PATIENCE / 1000} seconds: pratique check evaluates large sets`), PATIENCE),
    ];
  }

  private start(): Worker {
    // From a blob, not from a file: such a worker is under the page's own Content-Security-Policy, whoever serves the page.
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
    if ("failed" in answer) return this.give(`a bug in pratique: it could not be evaluated (${answer.failed})`);
    this.settle();
    this.note(question, answer.took);
    // What was typed meanwhile is options instead: places have moved.
    if (!this.next) this.hearers.report(JSON.parse(answer.report) as PlaygroundReport, answer.number);
    this.send();
  }

  /** Gives up on what is options; a worker that hangs or has failed is of no more use. */
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
