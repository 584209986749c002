/** Which policies are asked, and with which settings: a form for each, made from its JSON Schema. */

import { type Control, group } from "./controls";
import { el } from "./elements";
import type { Asked, Policy, Said, Settings } from "./shapes";

interface Form {
  policy: Policy;
  asked: HTMLInputElement;
  settings: Control;
  problem: HTMLElement;
  details: HTMLDetailsElement;
}

export class Forms {
  private readonly forms: Form[];
  private readonly namespace: HTMLInputElement;

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
        el("small", {}, "Of objects that name none."),
      ),
    );
    parent.addEventListener("input", changed);
  }

  get asked(): Asked {
    const asked = this.forms.filter(({ asked }) => asked.checked);
    const settings = asked.map(({ policy, settings }) => [policy.name, (settings.get() ?? {}) as Settings]);
    return { namespace: this.namespace.value || "default", policies: Object.fromEntries(settings) };
  }

  set asked({ namespace, policies }: Asked) {
    this.namespace.value = namespace;
    for (const { policy, asked, settings } of this.forms) {
      const given = Object.hasOwn(policies, policy.name) ? policies[policy.name] : undefined;
      asked.checked = given !== undefined;
      settings.set(given);
    }
  }

  /** Shows which settings a policy does not take. */
  mark(said: Said): void {
    for (const { policy, problem, details } of this.forms) {
      const reason = said.settings[policy.name] ?? "";
      problem.textContent = reason;
      problem.hidden = reason === "";
      if (reason) details.open = true;
    }
  }
}

function form(policy: Policy): Form {
  const asked = el("input", { type: "checkbox", id: `ask-${policy.name}` });
  const settings = group("", "", policy.schema, policy.schema);
  const problem = el("p", { class: "problem", role: "alert" });
  problem.hidden = true;
  const details = el(
    "details",
    { class: "policy" },
    el("summary", {}, policy.name),
    el("p", {}, policy.summary),
    el("div", { class: "setting" }, el("label", { for: asked.id }, "Ask this policy"), asked),
    problem,
    settings.element,
  );
  return { policy, asked, settings, problem, details };
}
