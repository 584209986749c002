/** The forms to choose policies and their settings, generated from the JSON Schema of each policy. */

import { type Control, group } from "./controls";
import { el } from "./elements";
import type { Options, Policy, PlaygroundReport, Settings } from "./shapes";

interface Form {
  policy: Policy;
  options: HTMLInputElement;
  settings: Control;
  /** The restored settings, until the user edits the form. They may be invalid, which the policy should report. */
  given: Settings | undefined;
  problem: HTMLElement;
  details: HTMLDetailsElement;
}

export class Forms {
  private readonly forms: Form[];
  private readonly namespace: HTMLInputElement;
  /** Settings of unknown policies, which have no form. */
  private unknown: Record<string, Settings> = {};

  constructor(parent: HTMLElement, policies: Policy[], changed: () => void) {
    this.namespace = el("input", { type: "text", id: "namespace", autocomplete: "off", spellcheck: "false" });
    this.forms = policies.map((policy) => form(policy));
    parent.append(...this.forms.map(({ details }) => details));
    parent.append(
      el(
        "div",
        { class: "setting" },
        el("label", { for: "namespace" }, "Namespace"),
        this.namespace,
        el("small", {}, "For objects that do not specify one."),
      ),
    );
    for (const one of this.forms) {
      one.settings.element.addEventListener("input", () => (one.given = undefined));
    }
    parent.addEventListener("input", () => {
      this.unknown = {};
      changed();
    });
  }

  get options(): Options {
    const options = this.forms.filter(({ options }) => options.checked);
    const settings = options.map(
      ({ policy, settings, given }) => [policy.name, given ?? ((settings.get() ?? {}) as Settings)] as const,
    );
    const policies = { ...this.unknown, ...Object.fromEntries(settings) };
    return { namespace: this.namespace.value || "default", policies };
  }

  set options({ namespace, policies }: Options) {
    this.namespace.value = namespace;
    const known = new Set(this.forms.map(({ policy }) => policy.name));
    this.unknown = Object.fromEntries(Object.entries(policies).filter(([name]) => !known.has(name)));
    for (const one of this.forms) {
      one.given = Object.hasOwn(policies, one.policy.name) ? policies[one.policy.name] : undefined;
      one.options.checked = one.given !== undefined;
      one.settings.set(one.given);
    }
  }

  /** Shows errors in the settings. */
  mark(report: PlaygroundReport): void {
    for (const { policy, problem, details } of this.forms) {
      const reason = report.settings[policy.name] ?? "";
      // Announce an error once, not after every key press.
      if (problem.textContent === reason) continue;
      problem.textContent = reason;
      problem.hidden = reason === "";
      if (reason) details.open = true;
    }
  }
}

function form(policy: Policy): Form {
  const options = el("input", { type: "checkbox", id: `ask-${policy.name}` });
  const settings = group("", "", policy.schema, policy.schema);
  const problem = el("p", { class: "problem", role: "alert" });
  problem.hidden = true;
  const details = el(
    "details",
    { class: "policy" },
    el("summary", {}, policy.name),
    el("p", {}, policy.summary),
    el("div", { class: "setting" }, el("label", { for: options.id }, "Run this policy"), options),
    problem,
    settings.element,
  );
  return { policy, options, settings, given: undefined, problem, details };
}
