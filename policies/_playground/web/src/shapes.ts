/** What goes between the page and the policies. What comes back is generated from the Rust types. */

export type { DocumentChange, LocatedMessage, ObjectEntry, Outcome, MapDiagram, PolicyResult, ReportedFinding, PlaygroundReport } from "./report";

/** A place in the text, and the value there if `start` and `end` are known. */
export interface Placed {
  line: number;
  start?: number;
  end?: number;
}

/** Which policies are options: the settings of each. */
export interface Options {
  namespace: string;
  policies: Record<string, Settings>;
}

export type Settings = Record<string, unknown>;

export interface Case {
  name: string;
  why: string;
  text: string;
  settings: Settings;
}

export interface Policy {
  name: string;
  summary: string;
  /** What to do about a denial. */
  remediation: string;
  needsCluster: boolean;
  schema: Schema;
  cases: Case[];
}

/** As much of JSON Schema as the settings of policies use. */
export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  description?: string;
  default?: unknown;
  const?: string;
  oneOf?: Schema[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  minimum?: number;
  maximum?: number;
  [keyword: string]: unknown;
}
