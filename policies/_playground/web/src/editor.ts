/** The editor: YAML, with what is found drawn under the very value. */

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, forEachDiagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension, type Transaction } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

import { highlightedYaml } from "./highlighted";
import type { LocatedMessage, Placed, ReportedFinding, PlaygroundReport } from "./shapes";

/** How much is taken at once, in UTF-16 code units: beyond it the page would hold more than a browser's tab should. */
const MOST = 16 * 1024 * 1024;
/** And in how many lines: the editor needs a second for a few millions. */
const MOST_LINES = 1_000_000;

/** Why a text is not taken; nothing if it is. */
function tooMuch(text: string): string | undefined {
  if (text.length > MOST) return "it is larger than 16 MB";
  let lines = 0;
  for (let at = text.indexOf("\n"); at >= 0 && lines <= MOST_LINES; at = text.indexOf("\n", at + 1)) lines++;
  return lines > MOST_LINES ? "it has more than a million lines" : undefined;
}

export class Editor {
  private readonly view: EditorView;
  private readonly extensions: Extension[];

  constructor(parent: HTMLElement, changed: (text: string) => void, refused: (reason: string) => void) {
    const refuse = (reason: string | undefined) => {
      if (reason === undefined) return false;
      refused(reason);
      return true;
    };
    const files = (list: FileList | undefined) =>
      [...(list ?? [])].some((file) => file.size > MOST / 4) ? "a file is larger than 4 MB" : undefined;
    this.extensions = [
      EditorView.domEventHandlers({
        paste: ({ clipboardData: data }) => refuse(tooMuch(data?.getData("text/plain") ?? "") ?? files(data?.files)),
        drop: ({ dataTransfer: data }) => refuse(tooMuch(data?.getData("text/plain") ?? "") ?? files(data?.files)),
      }),
      lineNumbers(),
      lintGutter(),
      highlightSpecialChars(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      highlightSelectionMatches(),
      search({ top: true }),
      highlightedYaml(),
      // Colours are the stylesheet's, for the dark as for the light.
      syntaxHighlighting(classHighlighter),
      // Tab is left to whoever goes through the page by keyboard.
      keymap.of([...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap]),
      EditorView.contentAttributes.of({ "aria-label": "Manifests as YAML", "aria-describedby": "editor-help", tabindex: "0" }),
    ];
    const dispatchTransactions = (transactions: readonly Transaction[], view: EditorView) => {
      view.update(transactions);
      if (transactions.some(({ docChanged }) => docChanged)) changed(this.text);
    };
    this.view = new EditorView({ parent, state: EditorState.create({ extensions: this.extensions }), dispatchTransactions });
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  /** Another text, with a history of its own: nobody undoes it, and is left with the settings of another. */
  set text(text: string) {
    this.view.setState(EditorState.create({ doc: text, extensions: this.extensions }));
  }

  /** Draws what is report of the text as it is. */
  mark(report: PlaygroundReport): void {
    const diagnostics: Diagnostic[] = report.errors.filter((error) => error.line > 0).map((error) => this.diagnostic(error, "error"));
    for (const object of report.objects) {
      for (const { denials, warnings, policy } of object.results) {
        diagnostics.push(...denials.map((found) => this.diagnostic(found, "error", policy)));
        diagnostics.push(...warnings.map((found) => this.diagnostic(found, "warning", policy)));
      }
    }
    // Those that are drawn move with the text: most keys change none of them.
    const drawn: string[] = [];
    forEachDiagnostic(this.view.state, ({ severity, message }, from, to) => drawn.push(JSON.stringify([from, to, severity, message])));
    const wanted = diagnostics.map(({ from, to, severity, message }) => JSON.stringify([from, to, severity, message]));
    if (drawn.toSorted().join() !== wanted.toSorted().join()) {
      this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
    }
  }

  /** Goes to a place and selects the value there. */
  go(place: Placed): void {
    const { from: anchor, to: head } = this.range(place);
    this.view.dispatch({ selection: { anchor, head }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
    this.view.focus();
  }

  private diagnostic(found: LocatedMessage | ReportedFinding, severity: "error" | "warning", policy?: string): Diagnostic {
    const field = "field" in found && found.field ? `${found.field}: ` : "";
    const diagnostic: Diagnostic = { ...this.range(found), severity, message: field + found.message };
    return policy ? { ...diagnostic, source: policy } : diagnostic;
  }

  private range({ line, start = 0, end = 0 }: Placed): { from: number; to: number } {
    const { doc } = this.view.state;
    const written = doc.line(Math.min(Math.max(line, 1), doc.lines));
    const from = Math.min(written.from + start, written.to);
    return { from, to: Math.max(from, Math.min(written.from + end, written.to)) };
  }
}
