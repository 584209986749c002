/**
 * Asks the policies: in the page itself as somebody types, so that the verdict is there with the letter, and in a worker where it
 * may take longer, so that nothing can hold up the page.
 *
 * A browser puts off what a worker answers to a key until it has drawn the next frame; only what is done at once is shown at once.
 */

import { initSync, judge } from "playground-wasm";
import workerCode from "worker-code";

import type { Asked, Said } from "./shapes";
import type { Answer, Question } from "./worker";

/** After so long an answer is no longer waited for, in milliseconds. */
const PATIENCE = 10_000;
/** What is judged in the page: what took no longer the last time, in milliseconds, … */
const QUICK = 8;
/** … is no longer than this, and differs by no more than this from what was judged last, in UTF-16 code units. */
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
  /** What is said of the text as it is now, and to which question. */
  said(said: Said, number: number): void;
  /** That nothing can be said of it, and why. */
  failed(reason: string, number: number): void;
  /** That the answer takes so long that it shows. */
  waiting(): void;
}

export class Judge {
  private worker: Worker | undefined;
  private number = 0;
  private asking: Question | undefined;
  private next: Question | undefined;
  private timers: ReturnType<typeof setTimeout>[] = [];
  /** How the last text that was judged went. */
  private last = { text: "", asked: "", took: Infinity };
  private isUsable = true;

  constructor(
    private readonly module: WebAssembly.Module,
    private readonly hearers: Hearers,
  ) {
    initSync({ module });
  }

  /** Asks about a text, and gives the question's number; whatever was asked before is no longer of interest. */
  ask(text: string, asked: Asked): number {
    const question = { number: ++this.number, text, asked: JSON.stringify(asked) };
    const isQuick = this.last.took <= QUICK && text.length <= MOST && question.asked === this.last.asked && !couldExplode(text);
    if (this.isUsable && this.asking === undefined && isQuick && difference(text, this.last.text) <= TYPED) {
      this.judge(question);
    } else {
      this.next = question;
      if (this.asking === undefined) this.send();
    }
    return this.number;
  }

  private judge(question: Question): void {
    const begun = performance.now();
    let said: string;
    try {
      said = judge(question.text, question.asked);
    } catch {
      // What has failed is of no more use; the worker says why.
      this.isUsable = false;
      this.next = question;
      return this.send();
    }
    this.note(question, performance.now() - begun);
    this.hearers.said(JSON.parse(said) as Said, question.number);
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
      setTimeout(() => this.give(`no verdict within ${PATIENCE / 1000} seconds: pratique check judges large sets`), PATIENCE),
    ];
  }

  private start(): Worker {
    // From a blob, not from a file: such a worker is under the page's own Content-Security-Policy, whoever serves the page.
    const url = URL.createObjectURL(new Blob([workerCode], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    worker.postMessage(this.module);
    worker.addEventListener("message", (event: MessageEvent<Answer>) => this.hear(event.data));
    worker.addEventListener("error", (event) => this.give(event.message || "the worker that judges does not start"));
    return worker;
  }

  private hear(answer: Answer): void {
    const question = this.asking;
    if (answer.number !== question?.number) return;
    if ("failed" in answer) return this.give(`a bug in pratique: it could not be judged (${answer.failed})`);
    this.settle();
    this.note(question, answer.took);
    // What was typed meanwhile is asked instead: places have moved.
    if (!this.next) this.hearers.said(JSON.parse(answer.said) as Said, answer.number);
    this.send();
  }

  /** Gives up on what is asked; a worker that hangs or has failed is of no more use. */
  private give(reason: string): void {
    this.worker?.terminate();
    this.worker = undefined;
    const number = this.asking?.number ?? this.number;
    this.last = { text: "", asked: "", took: Infinity };
    this.settle();
    if (!this.next) this.hearers.failed(reason, number);
    this.send();
  }

  private note({ text, asked }: Question, took: number): void {
    this.last = { text, asked, took };
  }

  private settle(): void {
    this.asking = undefined;
    for (const timer of this.timers) clearTimeout(timer);
  }
}
