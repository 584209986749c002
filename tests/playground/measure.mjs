// Measures the time from a key press until the page shows the verdict, for a manifest set and for comments of 300 lines each.
//
// node measure.mjs URL CHROMIUM
import { readFile } from "node:fs/promises";

import { chromium } from "playwright-core";

import { answered, paste } from "./page.mjs";

const KEYS = 100;
const [url, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
await page.goto(url);
await answered(page);

// 300 lines: the example, and copies of its objects with other names in the same namespace.
const example = await readFile(new URL("../../policies/_playground/web/src/example.yaml", import.meta.url), "utf8");
const renamed = (letter) => example.replaceAll(/name: (web|cache|default-deny|dns)\b/g, `name: $1-${letter}`);
const text = [example, renamed("b"), renamed("c")].join("---\n").split("\n").slice(0, 299).join("\n") + "\n";

/** Types at the end of the first line that contains `mark`. Returns the sorted times from a key press until the verdict is shown. */
async function measure(text, mark) {
  await paste(page, text);
  await answered(page);
  await page.keyboard.press("Control+Home");
  const line = text.split("\n").findIndex((line) => line.includes(mark));
  for (let i = 0; i < line; i++) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("End");
  await page.evaluate(() => {
    globalThis.times = [];
    let pressed;
    addEventListener("keydown", (event) => (pressed = event.timeStamp), { capture: true });
    globalThis.observer?.disconnect();
    globalThis.observer = new MutationObserver(() => {
      const { sent, answered } = document.querySelector("#verdict").dataset;
      if (pressed === undefined || sent !== answered) return;
      globalThis.times.push(performance.now() - pressed);
      pressed = undefined;
    });
    globalThis.observer.observe(document.querySelector("#verdict"), { attributeFilter: ["data-answered"] });
  });
  for (let i = 0; i < KEYS; i++) {
    await page.keyboard.press(i % 2 === 0 ? "x" : "Backspace");
    // Wait longer than any evaluation takes. Polling for the verdict would distort the measurement.
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
  return (await page.evaluate(() => globalThis.times)).sort((a, b) => a - b);
}

const nothing = await measure("# nothing to evaluate\n".repeat(300), "nothing");
// After the image of the denied container.
const set = await measure(text, "shop/web:");
const at = (times, share) => times[Math.min(Math.floor(times.length * share), times.length - 1)];
console.log(
  JSON.stringify({
    verdict: (await page.locator("#verdict").innerText()).replace("\n", ": "),
    keys: set.length,
    "set, median": at(set, 0.5),
    "set, 95 of 100": at(set, 0.95),
    "set, longest": at(set, 1),
    "comments, median": at(nothing, 0.5),
  }),
);
await browser.close();
