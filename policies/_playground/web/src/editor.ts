/** The YAML editor. It underlines the values that findings refer to. */

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

/** The maximum size of a pasted text in UTF-16 code units, because more would use too much memory for a browser tab. */
const MOST = 16 * 1024 * 1024;
/** The maximum number of pasted lines, because the editor needs a second for a few million. */
const MOST_LINES = 1_000_000;

/** Why a text is rejected; undefined if it is accepted. */
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
      // The stylesheet defines the colours for the light and dark theme.
      syntaxHighlighting(classHighlighter),
      // The editor does not bind Tab, so that it moves the focus in keyboard navigation.
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

  /** Replaces the text and clears the undo history, because undo would not restore the settings of the previous text. */
  set text(text: string) {
    this.view.setState(EditorState.create({ doc: text, extensions: this.extensions }));
  }

  /** Underlines the findings and errors of a report on the current text. */
  mark(report: PlaygroundReport): void {
    const diagnostics: Diagnostic[] = report.errors.filter((error) => error.line > 0).map((error) => this.diagnostic(error, "error"));
    for (const object of report.objects) {
      for (const { denials, warnings, policy } of object.results) {
        diagnostics.push(...denials.map((found) => this.diagnostic(found, "error", policy)));
        diagnostics.push(...warnings.map((found) => this.diagnostic(found, "warning", policy)));
      }
    }
    // Diagnostics already move with the text, and most edits do not change them.
    const drawn: string[] = [];
    forEachDiagnostic(this.view.state, ({ severity, message }, from, to) => drawn.push(JSON.stringify([from, to, severity, message])));
    const wanted = diagnostics.map(({ from, to, severity, message }) => JSON.stringify([from, to, severity, message]));
    if (drawn.toSorted().join() !== wanted.toSorted().join()) {
      this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
    }
  }

  /** Scrolls to a location and selects the value there. */
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
