/** Highlights YAML. The parser is recursive, so it may overflow the stack in a text with thousands of levels. */

import { yamlLanguage } from "@codemirror/lang-yaml";
import { Language, LanguageSupport } from "@codemirror/language";
import { type Input, NodeType, Parser, type PartialParse, Tree, type TreeFragment } from "@lezer/common";

class Guarded extends Parser {
  createParse(input: Input, fragments: readonly TreeFragment[], ranges: readonly { from: number; to: number }[]): PartialParse {
    const parse = yamlLanguage.parser.startParse(input, fragments, ranges);
    return {
      advance() {
        try {
          return parse.advance();
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          // Show a text that is too deeply nested without highlighting. It is evaluated nevertheless.
          return new Tree(NodeType.none, [], [], input.length);
        }
      },
      get parsedPos() {
        return parse.parsedPos;
      },
      stopAt: (position) => parse.stopAt(position),
      get stoppedAt() {
        return parse.stoppedAt;
      },
    };
  }
}

/** The language of the editor. */
export function highlightedYaml(): LanguageSupport {
  return new LanguageSupport(new Language(yamlLanguage.data, new Guarded(), [], "yaml"));
}
