/** Form controls, each generated from a part of a JSON Schema. */

import { el } from "./elements";
import type { Schema } from "./shapes";

/** The control for one setting. The value `undefined` means the default. */
export interface Control {
  element: HTMLElement;
  get(): unknown;
  set(value: unknown): void;
}

let labels = 0;

/** Creates the control for a setting. `root` has the definitions that its schema refers to. */
export function control(name: string, schema: Schema, root: Schema): Control {
  const meant = resolved(schema, root);
  const [type] = [meant.type ?? "object"].flat();
  const standard = schema.default ?? undefined;
  const help = plain(schema.description ?? meant.description ?? "");
  if (meant.oneOf) return choice(name, help, meant.oneOf, standard);
  switch (type) {
    case "boolean":
      return check(name, help, standard === true, meant.type);
    case "integer":
      return entry(name, help, number(meant), standard, (text) => Number(text), String);
    case "string":
      return entry(name, help, { type: "text" }, standard, (text) => text, String);
    case "array":
      return list(name, help, meant, root, standard);
    default:
      return meant.properties ? group(name, help, meant, root) : json(name, help, standard);
  }
}

/** Resolves a reference, or the type of an optional property, which may also be null. */
function resolved(schema: Schema, root: Schema): Schema {
  const one = schema.anyOf?.find((schema) => schema.type !== "null") ?? schema;
  const name = one.$ref?.split("/").at(-1);
  return (name !== undefined && root.$defs?.[name]) || one;
}

/** The first paragraph of a description, without Markdown markup. */
function plain(description: string): string {
  return (description.split("\n\n")[0] ?? "").replaceAll(/[`*]/g, "").replaceAll("\n", " ");
}

function number({ minimum, maximum }: Schema): Record<string, string> {
  const bound = (name: string, value: number | undefined) => (value === undefined ? {} : { [name]: String(value) });
  return { type: "number", step: "1", ...bound("min", minimum), ...bound("max", maximum) };
}

/** A label, an input and its help text. */
function labelled(name: string, help: string, input: HTMLElement): HTMLElement {
  const id = `setting-${++labels}`;
  input.id = id;
  const element = el("div", { class: "setting" }, el("label", { for: id }, name), input);
  if (help) {
    input.setAttribute("aria-describedby", `${id}-help`);
    element.append(el("small", { id: `${id}-help` }, help));
  }
  return element;
}

function entry(
  name: string,
  help: string,
  attributes: Record<string, string>,
  standard: unknown,
  read: (text: string) => unknown,
  write: (value: unknown) => string,
): Control {
  const input = el("input", { ...attributes, autocomplete: "off", spellcheck: "false" });
  const shown = standard === undefined || standard === null ? "" : write(standard);
  input.placeholder = shown;
  return {
    element: labelled(name, help, input),
    get: () => {
      // Pass a string that is not a number, so that the policy rejects it with a message.
      if (input.validity.badInput) return "not a number";
      return input.value === "" || input.value === shown ? undefined : read(input.value);
    },
    set: (value) => (input.value = value === undefined || value === null ? shown : write(value)),
  };
}

function check(name: string, help: string, standard: boolean, type: Schema["type"]): Control {
  // An optional boolean has three values.
  if (Array.isArray(type)) return choice(name, help, [{ const: "true" }, { const: "false" }], undefined, (word) => word === "true");
  const input = el("input", { type: "checkbox" });
  return {
    element: labelled(name, help, input),
    get: () => (input.checked === standard ? undefined : input.checked),
    set: (value) => (input.checked = value === undefined ? standard : value === true),
  };
}

function choice(
  name: string,
  help: string,
  values: Schema[],
  standard: unknown,
  read: (word: string) => unknown = (word) => word,
): Control {
  const select = el("select");
  if (standard === undefined) select.append(el("option", { value: "" }, "default"));
  for (const { const: word = "", description } of values) {
    select.append(el("option", { value: word, title: plain(description ?? "") }, word));
  }
  const shown = String(standard ?? "");
  return {
    element: labelled(name, help, select),
    get: () => (select.value === shown ? undefined : read(select.value)),
    set: (value) => (select.value = String(value ?? shown)),
  };
}

function list(name: string, help: string, schema: Schema, root: Schema, standard: unknown): Control {
  const items = resolved(schema.items ?? {}, root);
  if (items.oneOf) return choices(name, help, items.oneOf, standard);
  if (items.properties) return groups(name, help, items, root);
  if (items.type !== "string" && items.type !== "integer") return json(name, help, standard);
  const isNumber = items.type === "integer";
  const read = (text: string) => {
    const words = text.split(",").map((word) => word.trim()).filter((word) => word !== "");
    return isNumber ? words.map((word) => (Number.isNaN(Number(word)) ? word : Number(word))) : words;
  };
  const write = (value: unknown) => (Array.isArray(value) ? value.join(", ") : String(value));
  return entry(name, `${help} Separate values with commas.`.trim(), { type: "text" }, standard, read, write);
}

function choices(name: string, help: string, values: Schema[], standard: unknown): Control {
  const words = values.map(({ const: word = "" }) => word);
  const chosen = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
  const boxes = words.map((word) => el("input", { type: "checkbox", value: word }));
  const element = el("fieldset", { class: "setting choices" }, el("legend", {}, name));
  if (help) element.append(el("small", {}, help));
  const labels = boxes.map((box, i) => el("label", { title: plain(values[i]?.description ?? "") }, box, ` ${words[i]}`));
  element.append(el("div", { class: "boxes" }, ...labels));
  const shown = chosen(standard);
  return {
    element,
    get: () => {
      const now = boxes.filter((box) => box.checked).map((box) => box.value);
      const same = now.length === shown.length && now.every((word) => shown.includes(word));
      return same ? undefined : now;
    },
    set: (value) => {
      const now = value === undefined ? shown : chosen(value);
      for (const box of boxes) box.checked = now.includes(box.value);
    },
  };
}

/** The control for an object of settings. */
export function group(name: string, help: string, schema: Schema, root: Schema): Control {
  const controls = Object.entries(schema.properties ?? {}).map(
    ([name, schema]) => [name, control(name, schema, root)] as const,
  );
  const element = el("fieldset", { class: "setting group" });
  if (name) element.append(el("legend", {}, name));
  if (help) element.append(el("small", {}, help));
  element.append(...controls.map(([, control]) => control.element));
  return {
    element,
    get: () => {
      const values = controls.map(([name, control]) => [name, control.get()] as const);
      const given = values.filter(([, value]) => value !== undefined);
      return given.length === 0 ? undefined : Object.fromEntries(given);
    },
    set: (value) => {
      const given = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
      for (const [name, control] of controls) control.set(given[name]);
    },
  };
}

/** The control for a list of objects, with buttons to add and remove items. */
function groups(name: string, help: string, schema: Schema, root: Schema): Control {
  const items = el("div");
  const add = el("button", { type: "button" }, `Add to ${name}`);
  const element = el("fieldset", { class: "setting group" }, el("legend", {}, name));
  if (help) element.append(el("small", {}, help));
  element.append(items, add);
  let controls: Control[] = [];
  const changed = () => element.dispatchEvent(new Event("input", { bubbles: true }));
  const append = (value: unknown) => {
    const item = group(`${name} ${controls.length + 1}`, "", schema, root);
    item.set(value);
    const remove = el("button", { type: "button" }, "Remove");
    remove.addEventListener("click", () => {
      controls = controls.filter((control) => control !== item);
      item.element.remove();
      add.focus();
      changed();
    });
    item.element.append(remove);
    controls.push(item);
    items.append(item.element);
  };
  add.addEventListener("click", () => {
    append({});
    items.lastElementChild?.querySelector<HTMLElement>("input, select, textarea")?.focus();
    changed();
  });
  return {
    element,
    get: () => (controls.length === 0 ? undefined : controls.map((control) => control.get() ?? {})),
    set: (value) => {
      controls = [];
      items.replaceChildren();
      for (const item of Array.isArray(value) ? value : []) append(item);
    },
  };
}

/** The control for settings that no other control supports, edited as JSON. */
function json(name: string, help: string, standard: unknown): Control {
  const area = el("textarea", { rows: "2", spellcheck: "false" });
  const shown = JSON.stringify(standard ?? null);
  // Pass invalid JSON as a string, so that the policy rejects it with a message.
  const read = (text: string): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };
  return {
    element: labelled(name, `${help} Enter JSON.`.trim(), area),
    get: () => (area.value.trim() === "" || area.value === shown ? undefined : read(area.value)),
    set: (value) => (area.value = value === undefined ? shown : JSON.stringify(value)),
  };
}
