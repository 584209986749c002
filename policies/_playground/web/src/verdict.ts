/** Shows the report: denials, warnings, changes and the map of allowed connections. */

import { structuredPatch } from "diff";

import { byId, count, el } from "./elements";
import type { DocumentChange, LocatedMessage, ObjectEntry, Outcome, MapDiagram, Placed, Policy, PolicyResult, ReportedFinding, PlaygroundReport } from "./shapes";

const WORDS: Record<Outcome, string> = {
  allow: "Admitted",
  warn: "Admitted with warnings",
  patch: "Admitted with changes",
  deny: "Denied",
};

/** The maximum time to compute all differences, in milliseconds. */
const DIFF_TIME = 200;
/** The maximum number of lines to show for a difference. */
const MOST_LINES = 2000;
/** The delay before an announcement to screen readers, in milliseconds, so that they do not speak while the user types. */
const QUIET = 700;

export class Verdict {
  private readonly verdict = byId("verdict");
  private readonly word = byId("outcome");
  private readonly counts = byId("counts");
  private readonly found = byId("found");
  private readonly changes = byId("changes");
  private readonly map = byId("map");
  private readonly announcement = byId("announcement");
  private readonly drawing: ShadowRoot;
  private readonly drawn = new Map<string, string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly policies: Policy[],
    private readonly go: (place: Placed) => void,
  ) {
    this.drawing = byId("drawing").attachShadow({ mode: "open" });
  }

  show(report: PlaygroundReport): void {
    const { outcome, summary, errors } = report;
    const isUnreadable = errors.length > 0 || Object.keys(report.settings).length > 0;
    this.head(
      outcome === "deny" || !isUnreadable ? (outcome ?? "none") : "error",
      outcome === "deny" ? WORDS.deny : isUnreadable ? "Could not be evaluated" : outcome ? WORDS[outcome] : "Not evaluated",
      [
        count(summary.objects, "object"),
        `${summary.evaluated} evaluated`,
        count(summary.denials, "denial"),
        count(summary.warnings, "warning"),
        `${summary.changed} changed`,
        ...(errors.length > 0 ? [count(errors.length, "error")] : []),
      ].join(", "),
    );
    if (this.isNew("found", [errors, report.settings, report.objects, summary, report.notes])) {
      this.found.replaceChildren(
        ...errors.map((error) => this.error(error)),
        ...Object.entries(report.settings).map(([policy, reason]) => el("p", { class: "problem" }, `Settings of ${policy}: ${reason}`)),
        ...report.objects.filter((object) => isTelling(object, report)).map((object) => this.object(object, report)),
        ...this.quiet(report.objects.filter((object) => !isTelling(object, report))),
        ...leftOut(report),
        ...report.notes.map((note) => el("p", { class: "note" }, note)),
      );
    }
    this.change(report.changed, summary.changesLeftOut);
    this.draw(report.picture);
  }

  fail(reason: string): void {
    this.head("error", "Could not be evaluated", reason);
    if (this.isNew("found", null)) this.found.replaceChildren();
    this.change([], 0);
    this.draw(null);
  }

  /** Whether a part of the report has changed. Unchanged parts are not drawn again after every key press. */
  private isNew(part: string, report: unknown): boolean {
    const now = JSON.stringify(report);
    const isNew = this.drawn.get(part) !== now;
    this.drawn.set(part, now);
    return isNew;
  }

  private change(changed: DocumentChange[], leftOut: number): void {
    if (!this.isNew("changed", [changed, leftOut])) return;
    this.changes.hidden = changed.length === 0 && leftOut === 0;
    const until = performance.now() + DIFF_TIME;
    const shown = changed.flatMap((one) => differences(one, until - performance.now()));
    if (leftOut > 0) {
      const documents = count(leftOut, "more document");
      shown.push(el("p", { class: "note" }, `${documents} would change, too many or too large to show. Use pratique render --diff to see all.`));
    }
    byId("diff").replaceChildren(...shown);
  }

  /** Records the number of the last question. If `answered` has recorded the same number, the shown report is up to date. */
  sent(number: number): void {
    this.verdict.dataset["sent"] = String(number);
  }

  answered(number: number): void {
    this.verdict.dataset["answered"] = String(number);
  }

  wait(): void {
    this.verdict.setAttribute("aria-busy", "true");
    this.counts.textContent = "evaluating…";
  }

  private head(outcome: Outcome | "none" | "error", word: string, counts: string): void {
    this.verdict.dataset["outcome"] = outcome;
    this.verdict.removeAttribute("aria-busy");
    this.word.textContent = word;
    this.counts.textContent = counts;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const report = `${word}: ${counts}`;
      if (this.announcement.textContent !== report) this.announcement.textContent = report;
    }, QUIET);
  }

  private error(error: LocatedMessage): HTMLElement {
    return el("ul", { class: "errors" }, this.finding(error, "error"));
  }

  private object(object: ObjectEntry, report: PlaygroundReport): HTMLElement {
    const rows = object.results.filter((row) => hasFindings(row) || (report.isCase && row.audit));
    const heading = el(
      "h3",
      {},
      el("span", { class: "badge", "data-outcome": object.outcome }, object.outcome),
      " ",
      this.link(object.name, object, "name"),
    );
    const article = el("article", { class: "object", "data-outcome": object.outcome }, heading);
    for (const row of rows) article.append(this.row(row));
    for (const { of, operations } of object.patches) {
      const title = of ? "JSON Patch of its pods" : "JSON Patch";
      const text = operations.map((operation) => JSON.stringify(operation)).join("\n");
      article.append(el("details", { class: "patch" }, el("summary", {}, title), el("pre", { tabindex: "0" }, text)));
    }
    return article;
  }

  /** The objects without findings, in one list. */
  private quiet(objects: ObjectEntry[]): HTMLElement[] {
    if (objects.length === 0) return [];
    const items = objects.map((object) => el("li", {}, this.link(object.name, object, "name")));
    return [
      el(
        "article",
        { class: "object quiet", "data-outcome": "allow" },
        el("h3", {}, el("span", { class: "badge", "data-outcome": "allow" }, "allow"), " No findings"),
        el("ul", {}, ...items),
      ),
    ];
  }

  private row(row: PolicyResult): HTMLElement {
    const of = row.of ? " (its pods)" : "";
    const section = el("section", { class: "row", "data-policy": row.policy }, el("h4", {}, row.policy + of));
    const findings = [
      ...row.denials.map((found) => this.finding(found, "deny")),
      ...row.warnings.map((found) => this.finding(found, "warn")),
    ];
    if (findings.length > 0) section.append(el("ul", {}, ...findings));
    if (row.audit) section.append(el("p", { class: "note audit" }, "Audit annotation: ", el("code", {}, row.audit)));
    const remediation = this.policies.find(({ name }) => name === row.policy)?.remediation;
    if (row.denials.length > 0 && remediation) section.append(el("p", { class: "remediation" }, remediation));
    return section;
  }

  private finding(found: LocatedMessage | ReportedFinding, outcome: "deny" | "warn" | "error"): HTMLElement {
    const item = el("li", { class: "finding", "data-outcome": outcome });
    if (found.line > 0) item.append(this.link(`${found.line}:${found.column}`, found, "place"), " ");
    if ("field" in found) {
      if (found.field) item.append(el("code", { class: "field" }, found.field), ": ");
      item.append(el("span", { class: "message" }, found.message));
      if (found.control) item.append(" ", el("span", { class: "control" }, found.control));
    } else {
      item.append(el("span", { class: "message" }, found.message));
    }
    return item;
  }

  private link(text: string, place: Placed, kind: string): HTMLElement {
    const button = el("button", { type: "button", class: `go ${kind}`, title: `Go to line ${place.line}` }, text);
    button.addEventListener("click", () => this.go(place));
    return button;
  }

  private draw(picture: MapDiagram | null): void {
    this.map.hidden = picture === null;
    if (!this.isNew("picture", picture)) return;
    const svg = picture?.svg ?? "";
    // Parse the SVG as XML and show it in a shadow tree, which isolates its styles. Scripts in it would not run.
    const drawing = new DOMParser().parseFromString(svg || "<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml");
    const isDrawn = svg !== "" && drawing.querySelector("parsererror") === null;
    const notes = [...(picture?.notes ?? [])];
    if (svg !== "" && !isDrawn) notes.push("a bug in pratique: the map cannot be drawn");
    const parts = isDrawn ? [document.importNode(drawing.documentElement, true), el("style", {}, DARK)] : [];
    this.drawing.replaceChildren(...parts);
    byId("drawing").hidden = !isDrawn;
    byId("map-notes").replaceChildren(...notes.map((note) => el("p", { class: "note" }, note)));
    const flows = picture?.flows ?? [];
    byId("flows-title").textContent = count(flows.length, "flow");
    byId("flows").replaceChildren(...flows.map((flow) => el("li", {}, flow)));
  }
}

/** The colours of the drawing in the dark theme. */
const DARK = `svg{max-width:none;display:block}@media (prefers-color-scheme:dark){svg>rect:first-of-type{fill:#16181d!important}
text{fill:#dde1e7!important}.box{fill:#1d2027!important;stroke:#3a404c!important}.title,.kind{fill:#a9b2bf!important}
.node rect{fill:#262b34!important}.edge text{stroke:#16181d!important}.edge path{filter:brightness(1.5)}}`;

function hasFindings(row: PolicyResult): boolean {
  return row.denials.length > 0 || row.warnings.length > 0;
}

/** Whether to show the details of an object: it has findings or is changed, or it is the object of a case. */
function isTelling(object: ObjectEntry, report: PlaygroundReport): boolean {
  return report.isCase || object.outcome !== "allow" || object.results.some(hasFindings);
}

function leftOut({ summary }: PlaygroundReport): HTMLElement[] {
  const left = [
    ...(summary.objectsLeftOut > 0 ? [count(summary.objectsLeftOut, "more object")] : []),
    ...(summary.findingsLeftOut > 0 ? [count(summary.findingsLeftOut, "more finding")] : []),
  ];
  return left.length === 0 ? [] : [el("p", { class: "note" }, `Not shown: ${left.join(", ")}. Use pratique check to see all.`)];
}

/** The changed lines with some context, if they can be computed within `time` milliseconds. */
function differences({ line, before, after }: DocumentChange, time: number): HTMLElement[] {
  const patch = time > 0 ? structuredPatch("", "", before, after, "", "", { context: 3, timeout: time }) : undefined;
  if (!patch) return [el("p", { class: "note" }, `Line ${line}: the changes are too large to show. Use pratique render --diff to see them.`)];
  return patch.hunks.map((hunk) => {
    const title = `From line ${line + hunk.oldStart - 1}`;
    const lines = hunk.lines.slice(0, MOST_LINES).map((text) => {
      const kind = text.startsWith("+") ? "ins" : text.startsWith("-") ? "del" : "span";
      return el(kind, {}, text, "\n");
    });
    return el("figure", {}, el("figcaption", {}, title), el("pre", { tabindex: "0", "aria-label": title }, ...lines));
  });
}
