/** The page: evaluates the text as you type, shows the report, and stores the state in a link. */

import example from "./example.yaml";
import { Editor } from "./editor";
import { byId, el } from "./elements";
import { Evaluator } from "./evaluate";
import { Forms } from "./settings";
import { isLink, pack, type State, unpack } from "./share";
import type { Options, Case, Policy } from "./shapes";
import { Verdict } from "./verdict";

const [policies, module] = await Promise.all([
  load("catalog.json", (response) => response.json() as Promise<Policy[]>),
  // Not compileStreaming, because it requires a media type that not every static host sends.
  load("playground.wasm", async (response) => WebAssembly.compile(await response.arrayBuffer())),
]);
const cases = new Map<string, { policy: Policy; one: Case }>(
  policies.flatMap((policy) => policy.cases.map((one) => [`${policy.name}/${one.name}`, { policy, one }] as const)),
);
const menu = byId<HTMLSelectElement>("case");
const why = byId("why");
const shared = byId("shared");

const verdict = new Verdict(policies, (place) => editor.go(place));
const evaluator = new Evaluator(module, {
  report: (report, number) => {
    verdict.show(report);
    forms.mark(report);
    editor.mark(report);
    verdict.answered(number);
  },
  failed: (reason, number) => {
    verdict.fail(reason);
    verdict.answered(number);
  },
  waiting: () => verdict.wait(),
});
const forms = new Forms(byId("forms"), policies, () => {
  options = forms.options;
  ask(editor.text);
  changed();
});
let options = first();
const editor = new Editor(
  byId("editor"),
  (text) => {
    ask(text);
    changed();
  },
  (reason) => (shared.textContent = `Not inserted: ${reason}. Use pratique check for large files.`),
);

/** Loads a file next to the page, or shows why that fails. */
async function load<T>(name: string, read: (response: Response) => Promise<T>): Promise<T> {
  try {
    const response = await fetch(new URL(name, import.meta.url));
    if (!response.ok) throw new Error(`status ${response.status}`);
    return await read(response);
  } catch (error) {
    byId("outcome").textContent = "Could not be loaded";
    byId("counts").textContent = `${name}, which must be next to this page: ${reason(error)}`;
    throw error;
  }
}

/** Resets the case menu and the link in the address bar, because they no longer match the edited state. */
function changed(): void {
  why.textContent = "";
  shared.textContent = "";
  menu.value = "";
  forget();
}

/** Removes a link from the address bar, so that reloading the page does not restore an older state. */
function forget(): void {
  if (isLink(location.hash)) history.replaceState(null, "", location.pathname + location.search);
}

function ask(text: string): void {
  verdict.sent(evaluator.ask(text, options));
}

/** Restores a state. */
function restore({ text, ...given }: State): void {
  forms.options = given;
  options = forms.options;
  editor.text = text;
  ask(editor.text);
}

/** The default options: all policies that need no cluster data. */
function first(): Options {
  const chosen = policies.filter(({ needsCluster }) => !needsCluster).map(({ name }) => [name, {}] as const);
  return { namespace: "default", policies: Object.fromEntries(chosen) };
}

const EXAMPLE = "example";
menu.append(el("option", { value: EXAMPLE }, "A small shop"), el("option", { value: "" }, "Empty text"));
for (const policy of policies) {
  const options = policy.cases.map(({ name }) => el("option", { value: `${policy.name}/${name}` }, name));
  menu.append(el("optgroup", { label: policy.name }, ...options));
}
menu.addEventListener("change", () => {
  forget();
  shared.textContent = "";
  const chosen = cases.get(menu.value);
  if (!chosen) {
    restore(menu.value === EXAMPLE ? { text: example, ...everything() } : { text: "", ...first() });
    return;
  }
  const { policy, one } = chosen;
  restore({ text: one.text, namespace: "default", policies: { [policy.name]: one.settings } });
  why.textContent = one.why;
});

byId("share").addEventListener("click", async () => {
  let link: string;
  try {
    link = await pack({ text: editor.text, ...options });
  } catch (error) {
    shared.textContent = `Cannot create a link: ${reason(error)}. Share the text itself instead.`;
    return;
  }
  history.replaceState(null, "", link);
  const where = await navigator.clipboard.writeText(location.href).then(
    () => "clipboard",
    () => "address bar",
  );
  shared.textContent = `The link is in the ${where}. It contains the whole state, which is not stored anywhere else.`;
});

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** All policies, for the example, which is a complete manifest set with NetworkPolicies. */
function everything(): Options {
  return { namespace: "default", policies: Object.fromEntries(policies.map(({ name }) => [name, {}])) };
}

let starts = 0;

/** Restores the state in the link. Without a link, shows the example, but only when the page is first loaded. */
async function start(isFirst: boolean): Promise<void> {
  const number = ++starts;
  let state: State | undefined;
  let problem = "";
  try {
    state = await unpack(location.hash);
  } catch (error) {
    problem = `The link cannot be read: ${reason(error)}`;
  }
  // The user has followed another link meanwhile.
  if (number !== starts) return;
  if (state || isFirst) {
    menu.value = state || problem ? "" : EXAMPLE;
    restore(state ?? (problem ? { text: "", ...first() } : { text: example, ...everything() }));
    why.textContent = "";
  }
  shared.textContent = problem;
}

window.addEventListener("hashchange", () => {
  if (isLink(location.hash)) void start(false);
});
await start(true);
