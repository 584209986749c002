// Tests the playground in Chromium. Prints the results as JSON: for each test, null or an error message.
//
// node drive.mjs URL CHROMIUM FOLDER SITE
//   FOLDER contains expected.json with the verdict of each case. Screenshots for review are written next to SITE.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { chromium } from "playwright-core";

import { hostile } from "./hostile.mjs";
import { answered, paste } from "./page.mjs";

const [url, executablePath, folder, site] = process.argv.slice(2);
const expected = JSON.parse(await readFile(join(folder, "expected.json"), "utf8"));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = join(site, "../playground-pictures");
await mkdir(pictures, { recursive: true });

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const desktop = { viewport: { width: 1400, height: 900 } };
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const requests = new Set();
const complaints = [];

/** Opens a page in a new context and waits for the first verdict. */
async function open(options = desktop, address = url) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  context.on("request", (request) => requests.add(request.url()));
  page.on("websocket", (socket) => requests.add(socket.url()));
  page.on("pageerror", (error) => complaints.push(error.stack ?? error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(address);
  await answered(page);
  return page;
}

const outcome = (page) => page.locator("#verdict").getAttribute("data-outcome");
const text = (page) => page.evaluate(() => [...document.querySelectorAll(".cm-line")].map((line) => line.textContent).join("\n"));

async function choose(page, name) {
  await page.selectOption("#case", name);
  await answered(page);
}

/** Runs in the page: reads the shown verdict, in the format of a case. */
function read() {
  const finding = (item) => {
    const text = (selector) => item.querySelector(selector)?.textContent;
    const control = text(".control");
    return { field: text(".field") ?? "", message: text(".message"), ...(control === undefined ? {} : { control }) };
  };
  const all = (selector) => [...document.querySelectorAll(`#found ${selector}`)];
  const of = (word) => all(`.finding[data-outcome=${word}]`).map(finding);
  const verdict = {
    deny: of("deny"),
    warn: of("warn"),
    patch: all(".patch pre").flatMap((pre) => pre.textContent.split("\n").map((line) => JSON.parse(line))),
    audit: Object.fromEntries(all(".row:has(.audit)").map((row) => [row.dataset.policy, row.querySelector(".audit code").textContent])),
  };
  const given = Object.entries(verdict).filter(([, value]) => Object.keys(value).length > 0);
  return given.length === 0 ? "allow" : Object.fromEntries(given);
}

const shown = (page) => page.evaluate(read);

/** Chooses each of these cases and returns its shown verdict, outcome and description. Runs in the page, which is ten times as fast as one browser call for each case. */
function chooseAll(page, names) {
  return page.evaluate(
    async ({ names, read }) => {
      const shown = new Function(`return (${read})()`);
      const menu = document.querySelector("#case");
      const verdict = document.querySelector("#verdict");
      const seen = {};
      for (const name of names) {
        menu.value = name;
        menu.dispatchEvent(new Event("input", { bubbles: true }));
        menu.dispatchEvent(new Event("change", { bubbles: true }));
        for (let i = 0; i < 2000 && verdict.dataset.sent !== verdict.dataset.answered; i++) await new Promise((resolve) => setTimeout(resolve, 1));
        seen[name] = { is: menu.value, verdict: shown(), outcome: verdict.dataset.outcome, why: document.querySelector("#why").textContent };
      }
      return seen;
    },
    { names, read: read.toString() },
  );
}

const seen = {};
async function look(name, question) {
  const begun = performance.now();
  try {
    await question();
    seen[name] = null;
  } catch (error) {
    seen[name] = String(error?.message ?? error).slice(0, 4000);
  }
  if (performance.now() - begun > 500) process.stderr.write(`${name}: ${Math.round(performance.now() - begun)} ms\n`);
}

const page = await open();
const chosen = await chooseAll(page, Object.keys(expected));
for (const [name, verdict] of Object.entries(expected)) {
  await look(name, () => {
    assert.equal(chosen[name].is, name, "the menu has the case");
    assert.deepEqual(chosen[name].verdict, verdict);
    assert.equal(chosen[name].outcome, name.split("/")[1].split("-")[0]);
    assert.notEqual(chosen[name].why, "");
  });
}

await look("a_fix_clears_the_denial", async () => {
  await choose(page, "example");
  assert.equal(await outcome(page), "deny");
  await page.locator(".finding[data-outcome=deny] .go").click();
  await page.keyboard.type("false");
  await answered(page);
  assert.equal(await outcome(page), "patch");
  assert.equal(await page.locator(".finding[data-outcome=deny]").count(), 0);
});

await look("findings_underline_the_value", async () => {
  await choose(page, "example");
  await page.locator(".finding[data-outcome=deny] .go").click();
  assert.deepEqual(await page.locator(".cm-lintRange-error").allTextContents(), ["true"]);
  await paste(page, "apiVersion: v1\nkind: Pod\nmetadata: { name: ä😀 }\nspec: { hostNetwork: true, x: 😀, hostPID: true, containers: [{ name: web }] } # 😀\n");
  await page.locator("#ask-pod-security-standards").waitFor({ state: "attached" });
  await answered(page);
  assert.deepEqual((await page.locator(".cm-lintRange-error").allTextContents()).slice(0, 2), ["true", "true"]);
});

await look("a_link_restores_the_state", async () => {
  const deny = Object.keys(expected).find((name) => name.startsWith("pod-security-standards/deny-") && name.includes("baseline"));
  await choose(page, deny);
  await page.locator(".cm-content").focus();
  await page.keyboard.press("Control+Home");
  await page.keyboard.type("# ünï 😀 <b>\n");
  await answered(page);
  await page.locator("#share").click();
  await page.waitForFunction(() => document.querySelector("#shared").textContent !== "");
  const link = page.url();
  assert.ok(link.startsWith(`${url}/#s=`) || link.startsWith(`${url}#s=`), link);
  const other = await open(desktop, link);
  assert.equal(await text(other), await text(page));
  assert.deepEqual(await shown(other), await shown(page));
  assert.deepEqual(
    await other.evaluate(() => [...document.querySelectorAll("[id^=ask-]")].map((box) => box.checked)),
    await page.evaluate(() => [...document.querySelectorAll("[id^=ask-]")].map((box) => box.checked)),
  );
  await other.context().close();
});

await look("a_hostile_link_is_harmless", async () => {
  const deflate = (length) => deflateRawSync(Buffer.alloc(length, "a")).toString("base64url");
  const links = ["#s=%%%", "#s=AAAA", `#s=${deflate(10)}`, `#s=${deflate(200 * 1024 * 1024)}`];
  for (const link of links) {
    const other = await open(desktop, `${url}/${link}`);
    assert.match(await other.locator("#shared").textContent(), /^The link cannot be read: /, link.slice(0, 40));
    await other.context().close();
  }
});

await look("setting_errors_appear_at_the_setting", async () => {
  await choose(page, "example");
  await page.locator("#policies > summary").click();
  const policy = (name) => page.locator(".policy", { has: page.locator(`> summary:text-is("${name}")`) });
  const standards = policy("pod-security-standards");
  await standards.locator("> summary").click();
  await standards.getByLabel("level").selectOption("privileged");
  await answered(page);
  assert.equal(await outcome(page), "patch");
  await standards.getByLabel("version").fill("v1.x");
  await answered(page);
  assert.match(await standards.locator(".problem").textContent(), /version/);
  assert.equal(await outcome(page), "error");
  await standards.getByLabel("version").fill("");
  // Items of a list of settings can be added and removed.
  const exporters = policy("exporter-sidecar");
  await exporters.locator("> summary").click();
  await exporters.getByRole("button", { name: "Add to exporters" }).click();
  await exporters.getByLabel("port", { exact: true }).fill("99999");
  await answered(page);
  assert.match(await exporters.locator(".problem").textContent(), /exporters/);
  await exporters.getByRole("button", { name: "Remove" }).click();
  await answered(page);
  assert.equal(await exporters.locator(".problem").isVisible(), false);
  await standards.getByLabel("Run this policy").uncheck();
  await answered(page);
  assert.equal(await page.locator(".row[data-policy=pod-security-standards]").count(), 0);
});

await look("typed_text_is_not_lost", async () => {
  const own = "# my own\n";
  const other = await open();
  await paste(other, own);
  await answered(other);
  // The fragment of the link to the verdict is not a state.
  await other.locator(".skip").focus();
  await other.keyboard.press("Enter");
  await other.waitForTimeout(100);
  assert.equal(await text(other), own);
  // A broken link does not change the text.
  await other.evaluate(() => (location.hash = "#s=zz"));
  await other.waitForFunction(() => /cannot be read: it is damaged/.test(document.querySelector("#shared").textContent));
  assert.equal(await text(other), own);
  // The address bar has a link to the current state, or none.
  await other.locator("#share").click();
  await other.waitForFunction(() => location.hash.startsWith("#s=") && location.hash !== "#s=zz");
  const link = other.url();
  await choose(other, "example");
  assert.equal(new URL(other.url()).hash, "");
  // A chat program may percent-encode the fragment.
  await other.goto(link.replace("#s=", "#s%3D"));
  await other.reload();
  await answered(other);
  assert.equal(await text(other), own);
  // Undo does not bring back a text without its settings.
  const chosen = Object.keys(expected).find((name) => name.startsWith("exporter-sidecar/allow-"));
  await choose(other, chosen);
  const before = await text(other);
  await other.locator(".cm-content").focus();
  await other.keyboard.press("Control+z");
  assert.equal(await text(other), before);
  // A modified case can be chosen again.
  await other.keyboard.type("x");
  await choose(other, chosen);
  assert.equal(await text(other), before);
  await other.context().close();
});

await look("unknown_policies_in_a_link_are_reported", async () => {
  const link = (policies) => {
    const state = { text: "apiVersion: v1\nkind: Pod\nmetadata: { name: x }\nspec: { hostNetwork: true, containers: [{ name: web }] }\n", namespace: "default", policies };
    return `${url}/#s=${deflateRawSync(JSON.stringify(state)).toString("base64url")}`;
  };
  for (const [policies, wanted] of [
    [{ "pod-security-standards": { levell: "baseline" } }, /levell/],
    [{ "pod-security-standards": { controls: ["nope"] } }, /nope/],
    [{ "pod-security-standards": { level: 7 } }, /level|string/],
    [{ "no-such-policy": {} }, /no-such-policy/],
  ]) {
    const other = await open(desktop, link(policies));
    assert.equal(await outcome(other), "error", JSON.stringify(policies));
    assert.match(await other.locator("#found").textContent(), wanted);
    await other.context().close();
  }
  const other = await open(desktop, link({}));
  assert.equal(await other.locator("#outcome").textContent(), "Not evaluated", "no policy runs");
  await other.context().close();
});

await look("everything_is_reachable_by_keyboard", async () => {
  const other = await open();
  const focused = () => other.evaluate(() => document.activeElement?.id || document.activeElement?.className || "");
  const reached = [];
  for (let i = 0; i < 20 && !reached.some((name) => String(name).includes("go place")); i++) {
    await other.keyboard.press("Tab");
    reached.push(await focused());
  }
  assert.ok(reached.includes("case") && reached.includes("share"), reached.join(" "));
  assert.ok(reached.some((name) => String(name).includes("cm-content")), `Tab must reach the editor: ${reached.join(" ")}`);
  assert.ok(reached.some((name) => String(name).includes("go place")), `Tab must leave the editor and reach a finding: ${reached.join(" ")}`);
  await other.keyboard.press("Enter");
  assert.match(await focused(), /cm-content/);
  await other.keyboard.type("false");
  await answered(other);
  assert.equal(await outcome(other), "patch");
  await other.context().close();
});

await look("screen_readers_are_notified_after_typing_stops", async () => {
  await choose(page, "example");
  await page.waitForFunction(() => /^Denied: 7 objects, 6 evaluated, 1 denial/.test(document.querySelector("#announcement").textContent));
});

await look("axe_finds_no_violations", async () => {
  for (const [name, size] of Object.entries({ desktop, phone })) {
    for (const colorScheme of ["light", "dark"]) {
      const other = await open({ ...size, colorScheme });
      await other.screenshot({ path: join(pictures, `${name}-${colorScheme}.png`), fullPage: true });
      for (const details of await other.locator("details:visible").all()) await details.evaluate((element) => (element.open = true));
      await other.evaluate(() => document.querySelectorAll("details").forEach((element) => (element.open = true)));
      await other.screenshot({ path: join(pictures, `${name}-${colorScheme}-open.png`), fullPage: true });
      await other.evaluate(axe);
      const { violations } = await other.evaluate(() => globalThis.axe.run(document));
      const told = violations.map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`).slice(0, 3).join("; ")}`);
      assert.deepEqual(told, [], `${name}, ${colorScheme}`);
      const width = await other.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(width[0] <= width[1], `${name} is wider than its screen: ${width}`);
      await other.context().close();
    }
  }
});

await look("the_map_is_drawn", async () => {
  await choose(page, "example");
  const drawn = await page.locator("#drawing").evaluate((host) => [...host.shadowRoot.querySelectorAll("text")].map((text) => text.textContent));
  for (const wanted of ["shop", "web", "cache", "TCP 6379"]) assert.ok(drawn.includes(wanted), drawn.join(", "));
  assert.deepEqual(await page.locator("#flows li").allTextContents(), ["shop/web[Deployment] => shop/cache[StatefulSet] : TCP 6379"]);
  await choose(page, Object.keys(expected).find((name) => name.startsWith("prometheus-labels/")));
  assert.equal(await page.locator("#map").isVisible(), false);
});

for (const [name, make] of Object.entries(hostile)) {
  const previous = seen["hostile_text_blocks_nothing_and_is_escaped"];
  if (previous) break;
  await look("hostile_text_blocks_nothing_and_is_escaped", async () => {
    const other = await open();
    await other.evaluate(() => {
      globalThis.longest = 0;
      let last = performance.now();
      setInterval(() => {
        const now = performance.now();
        globalThis.longest = Math.max(globalThis.longest, now - last);
        last = now;
      }, 10);
    });
    // The editor itself uses images without a source.
    const elements = "script, img:not(.cm-widgetBuffer), iframe, object, embed, a[href^=javascript], [onerror], [onload]";
    const before = await other.locator(elements).count();
    const pasted = make();
    const begun = performance.now();
    await paste(other, pasted);
    await answered(other);
    // Typing after that must not block the page either.
    await other.keyboard.press("Control+Home");
    for (const key of ["#", "Backspace"]) await other.keyboard.press(key);
    await answered(other);
    await other.waitForTimeout(200);
    assert.equal(await other.locator(elements).count(), before, `${name}: the text created an element`);
    const inDrawing = await other.locator("#drawing").evaluate((host) => host.shadowRoot.querySelectorAll("script, img, foreignObject, [onload], [onclick]").length);
    assert.equal(inDrawing, 0, `${name}: the text created an element in the map`);
    const { hacked, longest } = await other.evaluate(() => ({ hacked: globalThis.hacked, longest: globalThis.longest }));
    assert.equal(hacked, undefined, `${name}: a script of the text ran`);
    const verdict = await other.locator("#verdict").innerText();
    process.stderr.write(`${name}: blocked for ${Math.round(longest)} ms, evaluated in ${Math.round(performance.now() - begun)} ms: ${verdict.replace("\n", ": ")}\n`);
    assert.ok(longest < 1000, `${name}: the page was blocked for ${Math.round(longest)} ms`);
    // The page still works.
    await choose(other, "example");
    assert.equal(await outcome(other), "deny", name);
    await other.context().close();
  });
}

const STATIC = "http://static.example/docs/try/";

/** Acts as a static file server with the page below a path. */
async function serveStatically(context, missed) {
  const types = { html: "text/html", css: "text/css", js: "text/javascript", json: "application/json", wasm: "application/wasm" };
  await context.route("**/*", async (route) => {
    const address = route.request().url();
    const name = address.startsWith(STATIC) ? address.slice(STATIC.length) || "index.html" : "/";
    if (name.includes("/")) {
      missed.push(address);
      return route.abort();
    }
    return route.fulfill({ body: await readFile(join(site, name)), contentType: types[name.split(".").at(-1)] });
  });
}

await look("a_static_host_serves_it_below_a_path", async () => {
  const context = await browser.newContext(desktop);
  const missed = [];
  await serveStatically(context, missed);
  const other = await context.newPage();
  await other.goto(STATIC);
  await answered(other);
  assert.equal(await outcome(other), "deny");
  assert.deepEqual(missed.filter((address) => !address.startsWith("blob:")), []);
  await context.close();
});

await look("load_errors_are_shown", async () => {
  const context = await browser.newContext(desktop);
  await context.route("**/playground.wasm", (route) => route.abort());
  const other = await context.newPage();
  await other.goto(url);
  const told = (name) => other.waitForFunction((name) => document.querySelector("#outcome").textContent === "Could not be loaded" && document.querySelector("#counts").textContent.startsWith(`${name}, `), name);
  await told("playground.wasm");
  await context.unroute("**/playground.wasm");
  await context.route("**/catalog.json", (route) => route.fulfill({ status: 404 }));
  await other.reload();
  await told("catalog.json");
  await context.close();
});

await look("no_request_leaves_the_page", async () => {
  // The worker that runs the policies must not be able to fetch anything either.
  const refused = () =>
    new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
      setTimeout(() => resolve("the request was not blocked"), 5000);
      fetch("http://127.0.0.1:9/").catch(() => undefined);
    });
  for (const [name, options] of Object.entries({ served: url, static: undefined })) {
    const context = await browser.newContext(desktop);
    if (!options) await serveStatically(context, []);
    const other = await context.newPage();
    await other.goto(options ?? STATIC);
    await answered(other);
    assert.equal(other.workers().length, 1, name);
    assert.equal(await other.workers()[0].evaluate(refused), "connect-src", `${name}: the worker`);
    assert.equal(await other.evaluate(refused), "connect-src", `${name}: the page`);
    await context.close();
  }
  const known = ["", "main.js", "style.css", "catalog.json", "playground.wasm"].map((name) => new URL(name, `${url}/`).href);
  const elsewhere = [...requests].map((address) => address.split("#")[0]).filter((address) => !known.includes(address) && address !== "data:," && !address.startsWith(`blob:${url}/`));
  assert.deepEqual(elsewhere, []);
  assert.ok(requests.size >= known.length, "requests were recorded");
  assert.deepEqual(complaints, [], "no errors in the console");
});

await browser.close();
console.log(JSON.stringify(seen));
