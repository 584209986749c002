/**
 * Asks the policies: in the page itself as somebody types, so that the verdict is there with the letter, and in a worker where it
 * may take longer, so that nothing can hold up the page.
 *
 * A browser puts off what a worker answers to a key until it has drawn the next frame; only what is done at once is shown at once.
 */

import { initSync, judge } from "playground-wasm";

import type { Asked, Said } from "./shapes";
import type { Answer, Question } from "./worker";

/** After so long an answer is no longer waited for, in milliseconds. */
const PATIENCE = 10_000;
/** What is judged in the page: what took no longer the last time, in milliseconds, … */
const QUICK = 8;
/** … is no longer than this, and differs in length by no more than this from what was judged last, in UTF-16 code units. */
const MOST = 64 * 1024;
const TYPED = 200;

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
  private last = { length: 0, took: Infinity };
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
    const typed = Math.abs(text.length - this.last.length) <= TYPED && text.length <= MOST;
    if (this.isUsable && this.asking === undefined && typed && this.last.took <= QUICK) {
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
    this.last = { length: question.text.length, took: performance.now() - begun };
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
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.postMessage(this.module);
    worker.addEventListener("message", (event: MessageEvent<Answer>) => this.hear(event.data));
    worker.addEventListener("error", (event) => this.give(event.message || "worker.js cannot be loaded"));
    return worker;
  }

  private hear(answer: Answer): void {
    const question = this.asking;
    if (answer.number !== question?.number) return;
    if ("failed" in answer) return this.give(`a bug in pratique: it could not be judged (${answer.failed})`);
    this.settle();
    this.last = { length: question.text.length, took: answer.took };
    // What was typed meanwhile is asked instead: places have moved.
    if (!this.next) this.hearers.said(JSON.parse(answer.said) as Said, answer.number);
    this.send();
  }

  /** Gives up on what is asked; a worker that hangs or has failed is of no more use. */
  private give(reason: string): void {
    this.worker?.terminate();
    this.worker = undefined;
    const number = this.asking?.number ?? this.number;
    this.last = { length: 0, took: Infinity };
    this.settle();
    if (!this.next) this.hearers.failed(reason, number);
    this.send();
  }

  private settle(): void {
    this.asking = undefined;
    for (const timer of this.timers) clearTimeout(timer);
  }
}
